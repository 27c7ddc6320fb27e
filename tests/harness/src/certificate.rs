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
[ca]
default_ca = own
[own]
database = index.txt
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
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
        for (file, content) in [("openssl.cnf", CONFIGURATION), ("index.txt", "")] {
            std::fs::write(directory.path().join(file), content).expect("write");
        }
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

    /// One that should have been renewed: it has been good for long, and ends within so many days.
    pub fn issue_old(&self, name: &str, address: IpAddr, days: u32) -> Certificate {
        let (own, made) = (self.file("authority"), self.file(name));
        let request = made.certificate.with_extension("csr");
        let end = Command::new("date")
            .args(["--utc", "--date", &format!("+{days} days"), "+%Y%m%d%H%M%SZ"])
            .output()
            .expect("run date");
        let end = String::from_utf8(end.stdout).expect("a date");
        let names = format!("IP:{address}");
        let mut openssl =
            self.openssl(&names, &["req", "-new", "-config", "openssl.cnf", "-nodes"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", &format!("/CN={name}"), "-out", text(&request)]);
        run(openssl.arg("-keyout").arg(&made.key));
        let mut openssl = self.openssl(&names, &["ca", "-config", "openssl.cnf", "-batch"]);
        openssl.args(["-notext", "-extensions", "node", "-outdir", ".", "-in", text(&request)]);
        openssl.args(["-cert", text(&own.certificate), "-keyfile", text(&own.key)]);
        openssl.args(["-startdate", "20250101000000Z", "-enddate", end.trim()]);
        run(openssl.arg("-out").arg(&made.certificate));
        made
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
        let request = ["req", "-x509", "-config", "openssl.cnf", "-days", days, "-nodes"];
        let mut openssl = self.openssl(names, &request);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", &format!("/CN={name}")]).args(arguments);
        run(openssl.arg("-out").arg(&made.certificate).arg("-keyout").arg(&made.key));
        made
    }

    fn openssl(&self, names: &str, arguments: &[&str]) -> Command {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments).env("NAMES", names).current_dir(self.directory.path());
        openssl
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn run(openssl: &mut Command) {
    let output = openssl.output().expect("run openssl");
    assert!(output.status.success(), "{output:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
