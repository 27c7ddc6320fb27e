//! What tells a form from all others: an HTTP library may send one again by itself (PROTOCOL section 2).

use std::sync::{Arc, Mutex, PoisonError};

use netrox_proto::v1::SentForm;
use twox_hash::XxHash3_128;

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;

/// Follows a form, chunk by chunk.
#[derive(Clone)]
pub(super) struct Digester {
    boundary: Arc<str>,
    /// With whoever reads the form. It tells bytes apart that no attacker chose: who makes two forms alike, with the same
    /// boundary, loses one of their own.
    hasher: Arc<Mutex<XxHash3_128>>,
}

impl Digester {
    /// Nothing where the boundary is one that somebody chose: then a form may be the same and be meant again.
    pub(super) fn of(boundary: &str) -> Option<Self> {
        looks_random(boundary).then(|| Self {
            boundary: boundary.into(),
            hasher: Arc::new(Mutex::new(XxHash3_128::new())),
        })
    }

    pub(super) fn update(&self, bytes: &[u8]) {
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
    }

    pub(super) fn form(&self) -> SentForm {
        let digest = self.hasher.lock().unwrap_or_else(PoisonError::into_inner).finish_128();
        SentForm { boundary: self.boundary.to_string(), digest: digest.to_be_bytes().into() }
    }
}

/// Whether its last 16 characters have letters and digits of more than one kind. What looks so and was not drawn at random
/// is found out by the core, when it is sent with other bytes.
fn looks_random(boundary: &str) -> bool {
    let Some(last) = boundary.as_bytes().last_chunk::<16>() else { return false };
    let kinds = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    boundary.len() <= MAX_BOUNDARY_BYTES
        && kinds.iter().filter(|is_of_kind| last.iter().any(is_of_kind)).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_of_libraries_look_random() {
        for boundary in [
            "----WebKitFormBoundaryyrV7KO0BoCBuDbTL",
            "----geckoformboundary1d2b7f2b9e1c5a7d3f4e6a8b9c0d1e2f",
            "b9c7a352-b5e0-400c-9232-e9d431f1ca89",
            "------------------------d74496d66958873e",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert!(looks_random(boundary), "{boundary}");
        }
        for boundary in [
            "",
            "AaB03x",
            "a1B2c3D4e5F6g7H",
            "-----------------------------9051914041544843365972754266",
            "my-form-boundary-of-mine",
            &"a1".repeat(36),
        ] {
            assert!(!looks_random(boundary), "{boundary}");
        }
    }

    #[test]
    fn a_digest_is_of_the_bytes_alone() {
        let digest = |chunks: &[&str]| {
            let digester = Digester::of("b9c7a352-b5e0-400c-9232-e9d431f1ca89");
            let digester = digester.expect("it looks random");
            chunks.iter().for_each(|chunk| digester.update(chunk.as_bytes()));
            digester.form().digest
        };
        assert_eq!(digest(&["some ", "bytes"]), digest(&["some bytes"]));
        assert_ne!(digest(&["some bytes"]), digest(&["some bytez"]));
        // As other edges have it: the value that the authors of XXH3 give for nothing.
        assert_eq!(digest(&[]), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128.to_be_bytes());
    }
}
