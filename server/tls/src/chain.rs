//! Whether the certificates of a file lead from one to the next, as clients want them.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

pub(crate) const REMEDY: &str = "put into its file the certificate itself, then the one that signed it, and so on: as the \
     authority gave them (fullchain.pem)";

/// What there is to say of the certificates behind the first. Which of them clients trust, nobody knows here: the last one is
/// taken for it. That one of them has ended is for the authority to mend.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of webpki")]
pub(crate) fn fault(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<String> {
    let (first, others) = chain.split_first()?;
    let (last, between) = others.split_last()?;
    let certificate = EndEntityCert::try_from(first).ok()?;
    let anchors = [anchor_from_trusted_cert(last).ok()?];
    let time = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let between: Vec<_> = between.iter().map(|between| between.clone().into_owned()).collect();
    let verified = certificate.verify_for_usage(
        algorithms.all,
        &anchors,
        &between,
        time,
        KeyUsage::server_auth(),
        None,
        None,
    );
    match verified.err()? {
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            Some("is not signed by those that follow it in its file".to_owned())
        }
        // What is wrong with it otherwise a handshake tells.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn one_alone_and_what_is_no_certificate_are_for_others_to_judge() {
        let certificate = include_bytes!("expiry/certificate.pem");
        let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
        let nonsense = CertificateDer::from(&b"nonsense"[..]);
        assert_eq!(fault(&[], UNIX_EPOCH), None);
        assert_eq!(fault(std::slice::from_ref(&certificate), UNIX_EPOCH), None);
        assert_eq!(fault(&[certificate, nonsense], UNIX_EPOCH), None);
    }
}
