//! Who a peer is, by its certificate.

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The DNS names and URIs for which the certificate of a chain itself is (RFC 5280 section 4.2.1.6); nothing where there is none.
pub fn names(chain: &[CertificateDer<'_>]) -> Option<Box<[String]>> {
    let certificate = chain.first()?;
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Some(Box::default()) };
    let names = certificate.valid_dns_names().chain(certificate.valid_uri_names());
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn a_certificate_without_names_is_one_all_the_same() {
        assert_eq!(names(&[]), None);
        let nonsense = CertificateDer::from(&b"nonsense"[..]);
        assert_eq!(names(&[nonsense]), Some(Box::default()));
        let nameless = include_bytes!("expiry/certificate.pem");
        let nameless = CertificateDer::from_pem_slice(nameless).expect("a certificate");
        assert_eq!(names(&[nameless]), Some(Box::default()));
    }
}
