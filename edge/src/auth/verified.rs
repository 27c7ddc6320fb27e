//! Tokens whose signature was verified, so that one who comes back costs none.
//!
//! A token is known by its SHA-256 digest: whoever has no valid token finds none here, however long the look takes. What
//! was refused is not kept, and times are looked at anew each time. Keys change with a start of the edge alone, and this
//! begins empty with it. Whether the user is still there is the directory's to tell.

use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest as _, Sha256};

use super::Identity;

/// Of all of them together, with what each takes beside its texts.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const OVERHEAD_BYTES: usize = 256;

type Digest = [u8; 32];

/// What a token with a valid signature says, whatever the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// The `nbf` claim in Unix seconds, where there is one.
    pub(super) not_before: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Weighter<Digest, Verified> for Bytes {
    fn weight(&self, _: &Digest, verified: &Verified) -> u64 {
        let Identity { email, profile_json, .. } = &verified.identity;
        let texts = [email, profile_json].into_iter().flatten().map(String::len);
        (OVERHEAD_BYTES + texts.sum::<usize>()) as u64
    }
}

#[derive(Debug)]
pub(super) struct VerifiedTokens(Cache<Digest, Verified, Bytes>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        let items = MAX_BYTES as usize / OVERHEAD_BYTES;
        Self(Cache::with_weighter(items, MAX_BYTES, Bytes))
    }

    /// What the token says, by `verify` where it is not known.
    pub(super) fn get_or_verify<E>(
        &self,
        token: &str,
        verify: impl FnOnce() -> Result<Verified, E>,
    ) -> Result<Verified, E> {
        let digest: Digest = Sha256::digest(token).into();
        if let Some(verified) = self.0.get(&digest) {
            return Ok(verified);
        }
        let verified = verify()?;
        self.0.insert(digest, verified.clone());
        Ok(verified)
    }
}

#[cfg(test)]
mod tests {
    use netrox_proto::ids::UserId;
    use uuid::Uuid;

    use super::*;

    fn verified(profile_bytes: usize) -> Verified {
        let profile_json = Some("x".repeat(profile_bytes));
        let user_id = UserId(Uuid::from_u128(1));
        let identity =
            Identity { user_id, expires_at: 7, issued_at: None, email: None, profile_json };
        Verified { identity, not_before: None }
    }

    #[test]
    fn a_token_is_verified_once_and_a_refusal_is_not_kept() {
        let tokens = VerifiedTokens::new();
        assert_eq!(tokens.get_or_verify("one", || Err("refused")), Err("refused"));
        assert_eq!(tokens.get_or_verify("one", || Ok::<_, &str>(verified(1))), Ok(verified(1)));
        assert_eq!(tokens.get_or_verify("one", || Err("again")), Ok(verified(1)));
        assert_eq!(tokens.get_or_verify("one ", || Err("another")), Err("another"));
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let tokens = VerifiedTokens::new();
        for number in 0..10_000 {
            let kept = tokens.get_or_verify(&number.to_string(), || Ok::<_, ()>(verified(8_000)));
            assert_eq!(kept, Ok(verified(8_000)));
        }
        assert!(tokens.0.weight() <= MAX_BYTES);
        assert!(tokens.0.len() > 1_000, "{}", tokens.0.len());
    }
}
