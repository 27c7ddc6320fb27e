//! Ports in front of a server: one that speaks plaintext where the server speaks TLS, so that every client of the tests can
//! talk to it, and the reverse.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, ConfigBuilder, RootCertStore, ServerConfig,
        client::WantsClientCert,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use tonic::transport::{Channel, Endpoint};

use crate::{Edge, certificate::Certificate};

/// Ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct TlsClient {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl TlsClient {
    /// Connections to a server come from `source` and have to be those of an authority.
    pub async fn start(source: Ipv4Addr, server: SocketAddr, authority: &Path) -> Self {
        Self::by(source, server, connector(authority)).await
    }

    /// For HTTP/2, by clients that show a certificate.
    pub async fn of_service(server: SocketAddr, authority: &Path, own: &Certificate) -> Self {
        let (certificate, key) = own.read();
        let config = trusting(authority).with_client_auth_cert(vec![certificate], key);
        let mut config = config.expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::by(Ipv4Addr::LOCALHOST, server, TlsConnector::from(Arc::new(config))).await
    }

    async fn by(source: Ipv4Addr, server: SocketAddr, connector: TlsConnector) -> Self {
        let listener = TcpListener::bind((source, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((plain, _)) = listener.accept().await {
                let connector = connector.clone();
                connections.spawn(async move {
                    // An error is seen by the client, as the end of its connection.
                    let _ = pass(plain, source, server, connector).await;
                });
            }
        });
        Self { address, _connections: connections }
    }

    pub fn edge(&self) -> Edge {
        Edge { address: self.address }
    }

    /// A connection by it, made when it is first used.
    pub fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Endpoint::from_shared(uri).expect("a URI").connect_lazy()
    }
}

/// A port that speaks TLS in front of a server that speaks plaintext, and says nothing before.
#[derive(Debug)]
pub struct TlsServer {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl TlsServer {
    pub async fn start(own: &Certificate, server: SocketAddr) -> Self {
        let listener = TcpListener::bind((server.ip(), 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (certificate, key) = own.read();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions of TLS");
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate and its key")));
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((encrypted, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let passed = async {
                        let mut encrypted = acceptor.accept(encrypted).await?;
                        let mut plain = TcpStream::connect(server).await?;
                        copy_bidirectional(&mut encrypted, &mut plain).await
                    };
                    // An error is seen by the client, as the end of its connection.
                    let _: io::Result<_> = passed.await;
                });
            }
        });
        Self { address, _connections: connections }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The certificate that a server shows, in DER form.
pub async fn shown_by(server: SocketAddr, authority: &Path) -> Vec<u8> {
    shown_after(b"", server, authority).await
}

/// The same, where something comes before the handshake.
pub async fn shown_after(before: &[u8], server: SocketAddr, authority: &Path) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.expect("connected");
    stream.write_all(before).await.expect("sent");
    let name = ServerName::from(server.ip());
    let stream = connector(authority).connect(name, stream).await.expect("a handshake");
    let shown = stream.get_ref().1.peer_certificates().expect("a chain");
    shown[0].to_vec()
}

impl Certificate {
    fn read(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_file(&self.certificate).expect("a certificate");
        (certificate, PrivateKeyDer::from_pem_file(&self.key).expect("a key"))
    }
}

fn trusting(authority: &Path) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).expect("a certificate");
    roots.add(certificate).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions of TLS");
    config.with_root_certificates(roots)
}

fn connector(authority: &Path) -> TlsConnector {
    let mut config = trusting(authority).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn pass(
    mut plain: TcpStream,
    source: Ipv4Addr,
    server: SocketAddr,
    connector: TlsConnector,
) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    plain.set_nodelay(true)?;
    let name = ServerName::from(server.ip());
    let mut encrypted = connector.connect(name, stream).await?;
    copy_bidirectional(&mut plain, &mut encrypted).await?;
    Ok(())
}
