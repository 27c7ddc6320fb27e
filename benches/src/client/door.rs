//! Where a server is spoken to: its address, and its TLS.

use std::{net::SocketAddr, sync::Arc};

use http::Uri;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, ClientConnection, pki_types::ServerName},
};

use crate::Result;

#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    /// Plaintext without it.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Door {
    pub(crate) async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The client's end of TLS that has not begun yet.
    pub(crate) fn connection(&self) -> Result<Option<ClientConnection>> {
        let begin = |config| ClientConnection::new(Arc::clone(config), self.name());
        Ok(self.tls.as_ref().map(begin).transpose()?)
    }

    pub(crate) async fn secure(
        &self,
        config: &Arc<ClientConfig>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>> {
        Ok(TlsConnector::from(Arc::clone(config)).connect(self.name(), stream).await?)
    }

    fn name(&self) -> ServerName<'static> {
        self.address.ip().into()
    }
}

/// `http://HOST:PORT`.
impl TryFrom<&Uri> for Door {
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn try_from(url: &Uri) -> Result<Self> {
        use std::net::ToSocketAddrs as _;

        let (Some("http"), Some(host), true) = (url.scheme_str(), url.host(), url.path() == "/")
        else {
            return Err(format!("{url} is not http://HOST:PORT").into());
        };
        let port = url.port_u16().unwrap_or(80);
        let mut addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs()?;
        let address = addresses.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(Self { address, tls: None })
    }
}
