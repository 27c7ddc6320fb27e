//! Keys and certificates that a deployment is started with, made by the openssl program.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use jsonwebtoken::{Algorithm, EncodingKey};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{Result, client::user::Signer};

/// Nothing of the system's configuration counts.
const CONFIGURATION: &str = "
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
[node]
basicConstraints = critical, CA:FALSE
subjectAltName = $ENV::NAMES
";
const SECRET: &str = "a-secret-of-the-bench-that-is-long-enough-for-every-hash";

/// How access tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tokens {
    Hs256,
    Rs256,
    Es256,
}

/// What a deployment and its clients know each other by.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) signer: Signer,
    /// A file, where it is not the secret.
    public_key: Option<PathBuf>,
    pub(crate) certificate: Option<Certificate>,
}

impl Keys {
    pub(crate) fn make(directory: &Path, tokens: Tokens, tls: bool) -> Result<Self> {
        let certificate = tls.then(|| Certificate::make(directory)).transpose()?;
        let (algorithm, kind, option) = match tokens {
            Tokens::Hs256 => {
                let signer = Signer::by_secret(SECRET);
                return Ok(Self { signer, public_key: None, certificate });
            }
            Tokens::Rs256 => (Algorithm::RS256, "RSA", "rsa_keygen_bits:2048"),
            Tokens::Es256 => (Algorithm::ES256, "EC", "ec_paramgen_curve:P-256"),
        };
        let made = ["genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", "token.key"];
        openssl(directory, &made)?;
        openssl(directory, &["pkey", "-in", "token.key", "-pubout", "-out", "token.pem"])?;
        let pem = std::fs::read(directory.join("token.key"))?;
        let key = match tokens {
            Tokens::Rs256 => EncodingKey::from_rsa_pem(&pem)?,
            Tokens::Hs256 | Tokens::Es256 => EncodingKey::from_ec_pem(&pem)?,
        };
        let public_key = Some(directory.join("token.pem"));
        Ok(Self { signer: Signer { algorithm, key }, public_key, certificate })
    }

    /// What the program is told of it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let mut variables = vec![match &self.public_key {
            Some(file) => ("NETROX_CHAT_JWT_PUBLIC_KEY_FILE", file.clone()),
            None => ("NETROX_CHAT_JWT_SECRET", SECRET.into()),
        }];
        if let Some(Certificate { authority, certificate, key }) = &self.certificate {
            variables.extend([
                ("NETROX_CHAT_HTTP_TLS_CERT_FILE", certificate.clone()),
                ("NETROX_CHAT_HTTP_TLS_KEY_FILE", key.clone()),
                ("NETROX_CHAT_GRPC_TLS_CERT_FILE", certificate.clone()),
                ("NETROX_CHAT_GRPC_TLS_KEY_FILE", key.clone()),
                ("NETROX_CHAT_CORE_CA_FILE", authority.clone()),
            ]);
        }
        variables
    }
}

/// A certificate of an authority of its own, for a server on the loopback.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        std::fs::write(directory.join("openssl.cnf"), CONFIGURATION)?;
        let request = ["req", "-x509", "-config", "openssl.cnf", "-days", "2", "-nodes"];
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let own = ["-subj", "/CN=authority", "-extensions", "authority"];
        let files = ["-out", "authority.pem", "-keyout", "authority.key"];
        openssl(directory, &[&request[..], &key, &own, &files].concat())?;
        let own = ["-subj", "/CN=server", "-extensions", "node"];
        let authority = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        let files = ["-out", "server.pem", "-keyout", "server.key"];
        openssl(directory, &[&request[..], &key, &own, &authority, &files].concat())?;
        let [authority, certificate, key] =
            ["authority.pem", "server.pem", "server.key"].map(|name| directory.join(name));
        Ok(Self { authority, certificate, key })
    }

    /// For clients that trust the authority alone.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority)?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn openssl(directory: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(directory);
    command.env("NAMES", format!("IP:{}", IpAddr::from(Ipv4Addr::LOCALHOST)));
    let output = command.output().map_err(|error| format!("openssl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)).into())
}
