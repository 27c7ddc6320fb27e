//! Provisioning: a valid token brings its own user into the directory (PROTOCOL section 1).

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use netrox_proto::{
    ids::UserId,
    v1::{EnsureUserRequest, ErrorReason, Failure, UserChange},
};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{auth::Identity, core_client::CoreClient};

const CAPACITY: usize = 100_000;
/// How long a user is taken to be in the directory without asking: a deleted user's token is
/// refused after it at the latest.
const TRUST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
struct Known {
    /// Of the claims that the directory was given.
    claims: u64,
    since: Instant,
}

/// The users whom this edge knows to be in the directory, so that asking again costs no call.
pub(crate) struct KnownUsers {
    users: Cache<UserId, Known>,
    hasher: RandomState,
}

impl KnownUsers {
    pub(crate) fn new() -> Self {
        Self { users: Cache::new(CAPACITY), hasher: RandomState::new() }
    }

    /// Makes sure that the user of a token is in the directory, with what the token says of them.
    ///
    /// Fails with `UserDeleted` where the user was deleted from it.
    pub(crate) async fn ensure(
        &self,
        core: &CoreClient,
        identity: &Identity,
    ) -> Result<(), Failure> {
        let claims = self.hasher.hash_one((&identity.email, &identity.profile_json));
        let known = self.users.get(&identity.user_id);
        if known.is_some_and(|known| known.claims == claims && known.since.elapsed() < TRUST) {
            return Ok(());
        }
        let since = Instant::now();
        let mut user = UserChange {
            id: identity.user_id.to_string(),
            email: identity.email.clone(),
            profile_json: identity.profile_json.clone(),
        };
        // Claims that the directory cannot hold are left out: the token is valid all the same.
        while let Err(failure) = ensure_user(core, user.clone()).await {
            if failure.reason() != ErrorReason::InvalidField || !leave_out(&mut user, &failure) {
                return Err(failure);
            }
            tracing::debug!(
                user.id = %identity.user_id,
                "a claim is left out, {}: {}", failure.field, failure.message
            );
        }
        self.users.insert(identity.user_id, Known { claims, since });
        Ok(())
    }

    /// Asks the directory again at the user's next request.
    pub(crate) fn forget(&self, user: UserId) {
        self.users.remove(&user);
    }
}

/// Removes the claim that a failure names; gives whether there was any.
fn leave_out(user: &mut UserChange, failure: &Failure) -> bool {
    let field = failure.field.rsplit('.').next().unwrap_or_default();
    match field {
        "email" => user.email.take().is_some(),
        "profile_json" => user.profile_json.take().is_some(),
        // Whichever it is.
        _ => user.email.take().is_some() | user.profile_json.take().is_some(),
    }
}

async fn ensure_user(core: &CoreClient, user: UserChange) -> Result<(), Failure> {
    let request = EnsureUserRequest { user: Some(user) };
    match core.directory.clone().ensure_user(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(Failure::from(&status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub_core::{StubCore, user};

    #[tokio::test(start_paused = true)]
    async fn a_deleted_user_is_known_for_a_minute_at_most() {
        let stub = StubCore::default();
        let core = stub.client();
        let known_users = KnownUsers::new();
        let (user_id, email, profile_json) = (user(1), None, None);
        let identity = Identity { user_id, expires_at: 0, email, profile_json };
        let ensure = async || {
            let ensured = known_users.ensure(&core, &identity).await;
            ensured.map_err(|failure| failure.reason())
        };
        assert_eq!(ensure().await, Ok(()));
        stub.change(|state| state.deleted.insert(user_id.to_string()));
        tokio::time::advance(TRUST - Duration::from_secs(1)).await;
        assert_eq!(ensure().await, Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ensure().await, Err(ErrorReason::UserDeleted));

        stub.change(|state| state.deleted.clear());
        assert_eq!(ensure().await, Ok(()));
        stub.change(|state| state.deleted.insert(user_id.to_string()));
        known_users.forget(user_id);
        assert_eq!(ensure().await, Err(ErrorReason::UserDeleted));
    }

    #[tokio::test]
    async fn only_the_claim_that_cannot_be_held_is_left_out() {
        let stub = StubCore::default();
        stub.change(|state| state.refused_claim = Some("email"));
        let (email, profile_json) = (Some("no address".into()), Some("{}".into()));
        let identity = Identity { user_id: user(1), expires_at: 0, email, profile_json };
        let ensured = KnownUsers::new().ensure(&stub.client(), &identity).await;
        assert_eq!(ensured.map_err(|failure| failure.reason()), Ok(()));
        let ensured = stub.state().ensured.clone();
        assert_eq!(ensured.len(), 2);
        assert_eq!(ensured[1].email, None);
        assert_eq!(ensured[1].profile_json.as_deref(), Some("{}"));

        // What names no claim of the token's ends it.
        stub.change(|state| state.refused_claim = Some("id"));
        let identity = Identity { email: None, profile_json: None, ..identity };
        let ensured = KnownUsers::new().ensure(&stub.client(), &identity).await;
        assert_eq!(ensured.map_err(|failure| failure.reason()), Err(ErrorReason::InvalidField));
    }
}
