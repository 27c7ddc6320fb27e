//! How a command reaches a core.

use http::{HeaderValue, Uri};
use netrox_tls::ClientTls;

use super::tls::TlsFiles;
use crate::{
    cli::LinkArgs,
    secret::{self, ServiceTokens, Warnings},
    sources::{SettingError, Sources},
};

const SERVICE_TOKEN: &str = "service-token";

pub(crate) struct LinkSettings {
    pub(crate) cores: Vec<Uri>,
    pub(crate) tls: Option<ClientTls>,
    /// `Bearer <service token>`.
    pub(crate) authorization: HeaderValue,
}

/// On the machine of a server its own service token is found in the data directory.
pub(crate) fn link(
    args: &LinkArgs,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<LinkSettings, SettingError> {
    let cores = args.core.core.0.clone();
    let (value, file) =
        (args.service_token.service_token.as_ref(), args.service_token.service_token_file.as_ref());
    let given = secret::given(SERVICE_TOKEN, value, file, sources, warnings)?;
    let (list, flag) = match given {
        Some(list) if file.is_some() => (list, "service-token-file"),
        Some(list) => (list, SERVICE_TOKEN),
        None => {
            let kept = args.data_dir.data_dir.join(SERVICE_TOKEN);
            if !kept.exists() {
                let reason = format!(
                    "must be given, or --service-token-file: there is no {}",
                    kept.display()
                );
                return Err(sources.refuse(SERVICE_TOKEN, reason));
            }
            let list = secret::read_secret(&kept, warnings);
            (list.map_err(|error| sources.refuse("data-dir", error))?, "data-dir")
        }
    };
    let tokens = ServiceTokens::parse(&list).map_err(|reason| sources.refuse(flag, reason))?;
    let tls = TlsFiles::new(sources, warnings).of_cores(&args.core_tls, &cores)?;
    Ok(LinkSettings { cores, tls, authorization: tokens.authorization })
}
