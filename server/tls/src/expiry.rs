//! Until when certificates are good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simple_asn1::ASN1Block;
use tokio_rustls::rustls::pki_types::CertificateDer;

const DAY: u64 = 24 * 3600;
/// What is left of a certificate when somebody should look after it. Those of 90 days are renewed at 30, and shorter ones as
/// well when a third is left.
const SOON: Duration = Duration::from_secs(14 * DAY);

/// What there is to say of the certificate of a chain itself. Those behind it are of its authority, which renews them, and
/// may go on to one that has ended where clients trust another.
pub(crate) fn warning(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<String> {
    let (begin, end) = validity(chain.first()?)?;
    let third = end.duration_since(begin).unwrap_or_default() / 3;
    match end.duration_since(now) {
        Ok(left) if left >= SOON.min(third) => None,
        Ok(left) => Some(format!("expires in {}", days(left))),
        Err(past) => Some(format!("expired {} ago", days(past.duration()))),
    }
}

/// When the certificate of a chain itself ends, in Unix time.
pub(crate) fn end(chain: &[CertificateDer<'_>]) -> Option<u64> {
    let (_, end) = validity(chain.first()?)?;
    Some(end.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// What there is to say of one that has ended.
pub(crate) fn ended(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let (_, end) = validity(certificate)?;
    let past = now.duration_since(end).ok()?;
    (!past.is_zero()).then(|| format!("expired {} ago", days(past)))
}

/// What there is to say of the certificate itself where it is not good yet: the clock is behind, more often than not.
pub(crate) fn too_early(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<String> {
    let (begin, _) = validity(chain.first()?)?;
    let left = begin.duration_since(now).ok()?;
    (!left.is_zero()).then(|| format!("is not good yet, for {}: is the clock right?", days(left)))
}

fn days(time: Duration) -> String {
    match time.as_secs() / DAY {
        0 => "less than a day".to_owned(),
        1 => "one day".to_owned(),
        days => format!("{days} days"),
    }
}

/// From when on and until when. RFC 5280 section 4.1; nothing where it cannot be read, which is for those to judge who verify it.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of simple_asn1")]
fn validity(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let blocks = simple_asn1::from_der(certificate).ok()?;
    let ASN1Block::Sequence(_, certificate) = blocks.first()? else { return None };
    let ASN1Block::Sequence(_, body) = certificate.first()? else { return None };
    // Among its parts this one alone begins with a time.
    let (begin, end) = body.iter().find_map(|part| match part {
        ASN1Block::Sequence(_, times) => match times.as_slice() {
            [
                ASN1Block::UTCTime(_, begin) | ASN1Block::GeneralizedTime(_, begin),
                ASN1Block::UTCTime(_, end) | ASN1Block::GeneralizedTime(_, end),
            ] => Some((begin.assume_utc().unix_timestamp(), end.assume_utc().unix_timestamp())),
            _ => None,
        },
        _ => None,
    })?;
    let time = |seconds: i64| UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?));
    Some((time(begin)?, time(end)?))
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// Good from 2026-01-02 to 2026-03-04, 12:00 UTC.
    const CERTIFICATE: &str = include_str!("expiry/certificate.pem");

    #[test]
    fn what_expires_soon_or_has_expired_is_said() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes());
        let chain = [certificate.expect("a certificate")];
        let end = UNIX_EPOCH + Duration::from_secs(1_772_625_600);
        let days = |days: u64| Duration::from_secs(days * DAY);
        assert_eq!(super::end(&chain), Some(1_772_625_600));
        for (now, expected) in [
            (end - days(14), None),
            (end - days(13), Some("expires in 13 days")),
            (end - days(1), Some("expires in one day")),
            (end, Some("expires in less than a day")),
            (end + days(30), Some("expired 30 days ago")),
        ] {
            assert_eq!(warning(&chain, now).as_deref(), expected);
            assert_eq!(too_early(&chain, now), None);
        }
        let early = too_early(&chain, end - days(63)).expect("it is not good yet");
        assert!(early.contains("for 2 days"), "{early}");
    }

    /// As that one is, but for its end: twelve days after its begin.
    #[test]
    fn a_certificate_that_is_short_is_looked_after_when_a_third_is_left() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes());
        let mut bytes = certificate.expect("a certificate").to_vec();
        let end = bytes.windows(13).position(|part| part == b"260304120000Z").expect("its end");
        bytes[end..end + 13].copy_from_slice(b"260114120000Z");
        let chain = [CertificateDer::from(bytes)];
        let end = UNIX_EPOCH + Duration::from_secs(1_768_392_000);
        let days = |days: u64| Duration::from_secs(days * DAY);
        for (left, expected) in [(11, None), (4, None), (3, Some("expires in 3 days"))] {
            assert_eq!(warning(&chain, end - days(left)).as_deref(), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_is_for_others_to_judge() {
        for bytes in [&b""[..], b"\x30\x00", b"\x30\x02\x30\x00", b"nonsense"] {
            let chain = [CertificateDer::from(bytes)];
            assert_eq!((warning(&chain, UNIX_EPOCH), end(&chain)), (None, None));
        }
    }
}
