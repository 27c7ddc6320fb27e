//! What tells a form from all others: an HTTP library may send one again by itself (PROTOCOL section 2).

use std::sync::{Arc, Mutex, PoisonError};

use netrox_proto::v1::FormDigest;

/// As much of a digest as the core takes.
const DIGEST_BYTES: usize = 16;

/// Follows a form, chunk by chunk.
#[derive(Clone)]
pub(super) struct Digester {
    boundary: Arc<[u8]>,
    /// With whoever reads the form.
    content: Arc<Mutex<blake3::Hasher>>,
}

impl Digester {
    /// Nothing where the boundary is one that somebody chose: then a form may be the same and be meant again.
    pub(super) fn of(boundary: &str) -> Option<Self> {
        looks_random(boundary)
            .then(|| Self { boundary: boundary.as_bytes().into(), content: Arc::default() })
    }

    pub(super) fn update(&self, bytes: &[u8]) {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
    }

    pub(super) fn digest(&self) -> FormDigest {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner).finalize();
        FormDigest {
            boundary: beginning(&blake3::hash(&self.boundary)),
            content: beginning(&content),
        }
    }
}

fn beginning(digest: &blake3::Hash) -> Vec<u8> {
    digest.as_bytes()[..DIGEST_BYTES].to_vec()
}

/// Whether its last 16 characters have letters and digits of more than one kind. What looks so and was not drawn at random
/// is found out by the core, when it is sent with other bytes.
fn looks_random(boundary: &str) -> bool {
    let Some(last) = boundary.as_bytes().last_chunk::<16>() else { return false };
    let kinds = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    kinds.iter().filter(|is_of_kind| last.iter().any(is_of_kind)).count() > 1
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
        ] {
            assert!(!looks_random(boundary), "{boundary}");
        }
    }

    #[test]
    fn a_digest_is_of_the_bytes_alone() {
        let digest = |boundary, chunks: &[&str]| {
            let digester = Digester::of(boundary).expect("it looks random");
            chunks.iter().for_each(|chunk| digester.update(chunk.as_bytes()));
            digester.digest()
        };
        let one = "b9c7a352-b5e0-400c-9232-e9d431f1ca89";
        let other = "b9c7a352-b5e0-400c-9232-e9d431f1ca88";
        assert_eq!(digest(one, &["some ", "bytes"]), digest(one, &["some bytes"]));
        assert_eq!(digest(one, &[]).content.len(), DIGEST_BYTES);
        assert_ne!(digest(one, &["some bytes"]).content, digest(one, &["some bytez"]).content);
        assert_ne!(digest(one, &[]).boundary, digest(other, &[]).boundary);
    }
}
