//! Tokens whose signature was verified, so that one who comes back costs none.
//!
//! A token is known by its SHA-256 digest: whoever has no valid token finds none here, however long the look takes. What
//! was refused is not kept, and times are looked at anew each time. So is whether the key that verified it is still there:
//! with a key go all tokens that it signed. Whether the user is still there is the directory's to tell. A token by a shared
//! secret is not kept, since its signature costs no more than the digest.

use netrox_proto::external_id::ExternalId;
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest as _, Sha256};

use super::{Identity, key_set::KeyId};

/// Of all of them together, with what each takes beside its texts.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const OVERHEAD_BYTES: usize = 384;

pub(super) type Digest = [u8; 32];

/// What a token with a valid signature says, whatever the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// The `nbf` claim in Unix seconds, where there is one.
    pub(super) not_before: Option<i64>,
    /// The place of its issuer among all.
    pub(super) issuer: usize,
    /// What it is signed with.
    pub(super) key: KeyId,
}

#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Weighter<Digest, Verified> for Bytes {
    fn weight(&self, _: &Digest, verified: &Verified) -> u64 {
        let Identity { email, profile_json, external_id, .. } = &verified.identity;
        let texts = [email, profile_json].into_iter().flatten().map(String::len);
        let external_id = external_id.as_ref().map_or(0, ExternalId::size);
        (OVERHEAD_BYTES + external_id + texts.sum::<usize>()) as u64
    }
}

#[derive(Debug)]
pub(super) struct VerifiedTokens(Cache<Digest, Verified, Bytes>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        let items = MAX_BYTES as usize / OVERHEAD_BYTES;
        Self(Cache::with_weighter(items, MAX_BYTES, Bytes))
    }

    /// Where a token is kept.
    pub(super) fn place(token: &str) -> Digest {
        Sha256::digest(token).into()
    }

    pub(super) fn get(&self, place: &Digest) -> Option<Verified> {
        self.0.get(place)
    }

    pub(super) fn put(&self, place: Digest, verified: Verified) {
        self.0.insert(place, verified);
    }
}

#[cfg(test)]
mod tests {
    use netrox_proto::ids::UserId;
    use uuid::Uuid;

    use super::*;
    use crate::revocation::TokenMark;

    fn verified(profile_bytes: usize) -> Verified {
        let profile_json = Some("x".repeat(profile_bytes));
        let user_id = UserId(Uuid::from_u128(1));
        let identity = Identity {
            user_id,
            external_id: None,
            expires_at: 7,
            issued_at: None,
            email: None,
            profile_json,
            token: TokenMark::default(),
        };
        Verified { identity, not_before: None, issuer: 0, key: [0; 32] }
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let tokens = VerifiedTokens::new();
        for number in 0..10_000 {
            let place = VerifiedTokens::place(&number.to_string());
            tokens.put(place, verified(8_000));
            assert_eq!(tokens.get(&place), Some(verified(8_000)));
        }
        assert!(tokens.0.weight() <= MAX_BYTES);
        assert!(tokens.0.len() > 1_000, "{}", tokens.0.len());
    }
}
