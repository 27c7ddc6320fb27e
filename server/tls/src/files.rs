//! Certificates and keys in PEM files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

/// All authorities of a system fit; what is longer is another file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What one end of a connection shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and those between it and its authority after it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why files cannot be used; names the one.
#[derive(Debug, thiserror::Error)]
#[error("{}{reason}", path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default())]
pub struct TlsError {
    path: Option<PathBuf>,
    reason: String,
}

impl TlsError {
    pub(crate) fn new(path: Option<&Path>, reason: impl Into<String>) -> Self {
        Self { path: path.map(Path::to_owned), reason: reason.into() }
    }

    fn of(path: &Path) -> impl Fn(io::Error) -> Self {
        |error| Self::new(Some(path), error.to_string())
    }

    /// The file that is to blame.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl Pair {
    pub(crate) fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?);
        let key = key.map_err(|error| {
            let none = "holds no private key in PEM form that needs no password";
            TlsError::new(Some(&self.key), said(&error, none))
        })?;
        Ok((chain, key))
    }

    /// What a configuration says against the two.
    pub(crate) fn refused(&self, error: &rustls::Error) -> TlsError {
        if let rustls::Error::InconsistentKeys(_) = error {
            let reason = format!("is not the key of {}", self.certificate.display());
            return TlsError::new(Some(&self.key), reason);
        }
        TlsError::new(Some(&self.certificate), error.to_string())
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = "holds no certificate in PEM form";
    let chain = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| TlsError::new(Some(path), said(&error, none)))?;
    if chain.is_empty() { Err(TlsError::new(Some(path), none)) } else { Ok(chain) }
}

/// Those who sign certificates.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::new(Some(path), error.to_string()))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(TlsError::of(path))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(TlsError::of(path))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(TlsError::new(Some(path), "is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Nothing of a key.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of rustls")]
fn said(error: &pem::Error, none: &str) -> String {
    match error {
        pem::Error::NoItemsFound => none.to_owned(),
        _ => "is not in PEM form".to_owned(),
    }
}
