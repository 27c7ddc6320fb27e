//! The URLs of what a core may use over the network. None shows its credentials.

use std::{borrow::Cow, fmt, str::FromStr};

use async_nats::ServerAddr;

/// Why a text is no such URL. Never repeats the text, which may hold a password.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(pub(super) Cow<'static, str>);

impl UrlError {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// One or more servers of a NATS cluster: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT]` or `tls://…`,
/// comma separated.
#[derive(Clone)]
pub struct BusUrl(pub(crate) Vec<ServerAddr>);

impl FromStr for BusUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let invalid =
            UrlError::new("must be nats://HOST[:PORT] or tls://HOST[:PORT], comma separated");
        let servers = text.split(',').map(|server| {
            let known = server.starts_with("nats://") || server.starts_with("tls://");
            let parsed = server.parse().ok().filter(|parsed: &ServerAddr| parsed.port() > 0);
            parsed.filter(|_| known).ok_or(invalid.clone())
        });
        servers.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}://{}:{}", server.scheme(), server.host(), server.port())?;
        }
        Ok(())
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `s3://BUCKET[/PREFIX]`. Region, endpoint and credentials are those of the usual variables of AWS.
#[derive(Debug, Clone)]
pub struct S3Url {
    pub(crate) bucket: String,
    /// Without slashes at its ends; may be empty.
    pub(crate) prefix: String,
}

impl FromStr for S3Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let invalid = UrlError::new("must be s3://BUCKET[/PREFIX]");
        let rest = text.strip_prefix("s3://").ok_or(invalid.clone())?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || rest.contains(['?', '#', '@', ':']) {
            return Err(invalid);
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.bucket, self.prefix)
    }
}
