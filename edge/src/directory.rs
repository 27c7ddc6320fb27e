//! Provisioning: a valid token brings its own user into the directory (PROTOCOL section 1).

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use netrox_proto::{
    ids::UserId,
    v1::{EnsureUserRequest, ErrorReason, Failure, UserChange},
};
use quick_cache::sync::Cache;

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
        let user = UserChange {
            id: identity.user_id.to_string(),
            email: identity.email.clone(),
            profile_json: identity.profile_json.clone(),
        };
        match ensure_user(core, user).await {
            // Claims that the directory cannot hold are left out: the token is valid all the same.
            Err(failure) if failure.reason() == ErrorReason::InvalidField => {
                let user = UserChange { id: identity.user_id.to_string(), ..Default::default() };
                ensure_user(core, user).await?;
            }
            result => result?,
        }
        self.users.insert(identity.user_id, Known { claims, since });
        Ok(())
    }

    /// Asks the directory again at the user's next request.
    pub(crate) fn forget(&self, user: UserId) {
        self.users.remove(&user);
    }
}

async fn ensure_user(core: &CoreClient, user: UserChange) -> Result<(), Failure> {
    let request = EnsureUserRequest { user: Some(user) };
    match core.directory.clone().ensure_user(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(Failure::from(&status)),
    }
}
