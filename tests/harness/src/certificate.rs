//! Certificates for TLS: an authority of a test's own, and what it signs. Made by the openssl program, which comes
//! with Debian's PostgreSQL.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Nothing of the system's configuration counts.
const CONFIGURATION: &str = "
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[node]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
authorityKeyIdentifier = keyid
subjectAltName = $ENV::NAMES
";

/// Long enough that nobody is warned of the end.
const DAYS: &str = "30";

/// Signs certificates, which last as long as it does.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
}

/// PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("openssl.cnf"), CONFIGURATION).expect("write");
        let authority = Self { directory };
        authority.make("authority", "DNS:authority", DAYS, &["-extensions", "authority"]);
        authority
    }

    /// What those trust who trust the authority.
    pub fn certificate(&self) -> PathBuf {
        self.file("authority").certificate
    }

    /// A certificate for a server or client of this name and address.
    pub fn issue(&self, name: &str, address: IpAddr) -> Certificate {
        self.issue_for(name, &format!("IP:{address}"))
    }

    /// The same for other names, as openssl has them: `DNS:example.org,URI:urn:example`.
    pub fn issue_for(&self, name: &str, names: &str) -> Certificate {
        self.issue_for_days(name, names, DAYS)
    }

    /// One that ends after so many days.
    pub fn issue_for_days(&self, name: &str, names: &str, days: &str) -> Certificate {
        let own = self.file("authority");
        let (certificate, key) = (text(&own.certificate), text(&own.key));
        let signed = ["-extensions", "node", "-CA", certificate, "-CAkey", key];
        self.make(name, names, days, &signed)
    }

    /// The certificate in DER form.
    pub fn der(&self, name: &str) -> Vec<u8> {
        let file = self.file(name).certificate;
        CertificateDer::from_pem_file(file).expect("a certificate").to_vec()
    }

    fn file(&self, name: &str) -> Certificate {
        let path = |ending| self.directory.path().join(format!("{name}.{ending}"));
        Certificate { certificate: path("pem"), key: path("key") }
    }

    fn make(&self, name: &str, names: &str, days: &str, arguments: &[&str]) -> Certificate {
        let made = self.file(name);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-config", "openssl.cnf", "-days", days, "-nodes"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", &format!("/CN={name}")]).args(arguments);
        openssl.arg("-out").arg(&made.certificate).arg("-keyout").arg(&made.key);
        openssl.env("NAMES", names).current_dir(self.directory.path());
        let output = openssl.output().expect("run openssl");
        assert!(output.status.success(), "{output:?}");
        made
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
