//! The listener for operators and their tools.

use std::net::SocketAddr;

use clap::Args;

use super::value::socket_addr;
use crate::secret::Warnings;

#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Metrics and health")]
pub(crate) struct AdminArgs {
    /// Address of /metrics, /healthz and /readyz, without a credential, and of /log-filter, with a service token; port 0
    /// is any free one; `none` turns it off [default: 127.0.0.1:24080, of a core on its own 127.0.0.1:24051]
    ///
    /// Where the default is taken, by another process of this kind for example, the program runs without it and warns. One
    /// that is given and taken ends the start.
    #[arg(long, value_name = "IP:PORT", value_parser = parse)]
    pub(crate) admin_addr: Option<AdminAddress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    None,
    At(SocketAddr),
}

impl AdminArgs {
    pub(crate) fn warn(self, warnings: &mut Warnings) {
        if let Some(AdminAddress::At(address)) = self.admin_addr
            && !address.ip().is_loopback()
        {
            warnings.add(format!(
                "metrics and health on {address} take no credential, and log filters a token in plaintext: keep them inside \
                 a private network"
            ));
        }
    }
}

fn parse(text: &str) -> Result<AdminAddress, String> {
    if text == "none" {
        return Ok(AdminAddress::None);
    }
    socket_addr(text).map(AdminAddress::At).map_err(|error| format!("{error}, or none"))
}
