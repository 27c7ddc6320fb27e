//! Why handshakes come to nothing.

use std::{error::Error, fmt, io};

use netrox_metrics::Word;
use tokio_rustls::rustls;

/// Why a connection to a door was closed before it was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// What came is no TLS: plain HTTP, for example.
    NotTls,
    TimedOut,
    /// Another came, where there were too many.
    MadeRoom,
    /// The peer went away.
    Closed,
    /// The peer does not go on, by an alert: it does not trust the certificate, for example.
    RefusedByPeer,
    /// No version, cipher or protocol that both speak.
    NothingInCommon,
    /// Where a client has to show one.
    NoCertificate,
    /// The certificate of a client is not one of the authority, or has expired.
    BadCertificate,
    /// A peer that breaks the protocol.
    Broken,
}

impl HandshakeFailure {
    pub const ALL: [Self; 9] = [
        Self::NotTls,
        Self::TimedOut,
        Self::MadeRoom,
        Self::Closed,
        Self::RefusedByPeer,
        Self::NothingInCommon,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Broken,
    ];

    pub fn of(error: &io::Error) -> Self {
        match cause(error) {
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(rustls::Error::AlertReceived(_)) => Self::RefusedByPeer,
            Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => {
                Self::NothingInCommon
            }
            Some(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(rustls::Error::InvalidCertificate(_)) => Self::BadCertificate,
            Some(_) => Self::Broken,
            None if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            None => Self::Closed,
        }
    }

    /// Whether it may come of how a door is set up; all else comes of who looks for open ports.
    pub fn is_of_settings(self) -> bool {
        match self {
            Self::RefusedByPeer
            | Self::NothingInCommon
            | Self::NoCertificate
            | Self::BadCertificate => true,
            Self::NotTls | Self::TimedOut | Self::MadeRoom | Self::Closed | Self::Broken => false,
        }
    }
}

/// For metrics.
impl Word for HandshakeFailure {
    const ALL: &'static [Self] = &HandshakeFailure::ALL;

    fn word(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::TimedOut => "timeout",
            Self::MadeRoom => "made_room",
            Self::Closed => "closed",
            Self::RefusedByPeer => "refused_by_peer",
            Self::NothingInCommon => "nothing_in_common",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "what came was no TLS",
            Self::TimedOut => "the handshake took too long",
            Self::MadeRoom => "the connection made room for another",
            Self::Closed => "the client went away",
            Self::RefusedByPeer => "the client refused, as one that does not trust the certificate",
            Self::NothingInCommon => "the client speaks no version, cipher or protocol of ours",
            Self::NoCertificate => "the client showed no certificate",
            Self::BadCertificate => {
                "the client's certificate is not one of the authority, or is not valid now"
            }
            Self::Broken => "the client broke the protocol",
        })
    }
}

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Whether a connection broke since one end does not believe who the other is.
pub fn trust_broken(error: &io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let of_io = error.downcast_ref::<io::Error>().and_then(cause);
        match of_io.or_else(|| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => return true,
            Some(rustls::Error::AlertReceived(alert)) => {
                return matches!(
                    alert,
                    Alert::CertificateRequired
                        | Alert::BadCertificate
                        | Alert::UnsupportedCertificate
                        | Alert::CertificateRevoked
                        | Alert::CertificateExpired
                        | Alert::CertificateUnknown
                        | Alert::UnknownCA
                        | Alert::AccessDenied
                        // A certificate that another authority of the same name has signed.
                        | Alert::DecryptError
                );
            }
            _ => next = error.source(),
        }
    }
    false
}
