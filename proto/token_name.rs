//! The name of an access token as cores keep it and edges look it up: a digest, since a `jti` may be of any length.

use sha2::{Digest as _, Sha256};

/// Half of a SHA-256: nobody finds another name with the same in a lifetime.
pub type TokenKey = [u8; 16];

const DOMAIN: &[u8] = b"netrox-chat token name";

/// `id` is the `jti`. With an issuer, that of its token alone; without one, that of any.
pub fn token_key(issuer: Option<&str>, id: &str) -> TokenKey {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    match issuer {
        None => hash.update([0]),
        Some(issuer) => {
            hash.update([1]);
            hash.update((issuer.len() as u64).to_be_bytes());
            hash.update(issuer);
        }
    }
    hash.update(id);
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = TokenKey::default();
    key.copy_from_slice(&digest[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_its_issuer_or_of_any() {
        let keys = [
            token_key(None, "ab"),
            token_key(Some(""), "ab"),
            token_key(Some("a"), "b"),
            token_key(Some("ab"), ""),
            token_key(None, "a"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(index));
        }
    }
}
