//! Whether the certificates of a file lead from one to the next, as clients want them.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use crate::expiry;

pub(crate) const REMEDY: &str = "put into its file the certificate itself, then the one that signed it, and so on: as the \
     authority gave them (fullchain.pem)";

pub(crate) const REMEDY_OF_ENDED: &str = "take those that the authority gives now (fullchain.pem): clients refuse a way over one that has ended";

/// What there is to say of an authority in between that has ended. The last of several may be one that clients have themselves,
/// under the same name: they do not mind its end.
pub(crate) fn ended(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<String> {
    let (_, others) = chain.split_first()?;
    let between = match others {
        [] | [_] => others,
        [between @ .., _] => between,
    };
    let ended = between.iter().find_map(|certificate| expiry::ended(certificate, now))?;
    Some(format!("has one behind it in its file, of the authority that signed it, which {ended}"))
}

/// What there is to say of the certificates behind the first. Which of them clients trust, nobody knows here: the last one is
/// taken for it.
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
    use std::time::Duration;

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

    #[test]
    fn an_authority_in_between_that_has_ended_is_told() {
        let certificate = include_bytes!("expiry/certificate.pem");
        let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
        let chain = [certificate.clone(), certificate.clone(), certificate];
        // 2026-03-04, 12:00 UTC.
        let end = UNIX_EPOCH + Duration::from_secs(1_772_625_600);
        let later = end + Duration::from_secs(3 * 24 * 3600);
        for chain in [&chain[..2], &chain[..]] {
            assert_eq!(ended(chain, end), None);
            let told = ended(chain, later).expect("it has ended");
            assert!(told.contains("expired 3 days ago"), "{told}");
        }
        assert_eq!(ended(&chain[..1], later), None);
    }
}
