//! Provisioning: a valid token brings its own user into the directory (PROTOCOL section 1).

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use netrox_proto::{
    ids::UserId,
    v1::{EnsureUserRequest, ErrorReason, ExternalId, Failure, UserChange},
};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{auth::Identity, core_client::CoreClient};

const CAPACITY: usize = 100_000;
/// How long a user is taken to be in the directory without asking: a deleted user's token is
/// refused after it at the latest. A user whose tokens disagree changes the directory as rarely.
const TRUST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
struct KnownUser {
    /// Of the claims that the directory was given last, of those that are not older than others. `None` where
    /// no token said anything.
    claims: Option<u64>,
    /// When the newest of them were issued.
    issued_at: Option<i64>,
    /// When the directory was asked.
    since: Instant,
    /// Whether that was to change what it had.
    was_refresh: bool,
}

impl KnownUser {
    /// Whether claims are to replace those that the directory was given: they differ, and are not older.
    fn is_outdated_by(&self, claims: Option<u64>, issued_at: Option<i64>) -> bool {
        claims.is_some() && claims != self.claims && issued_at >= self.issued_at
    }
}

/// The users whom this edge knows to be in the directory, so that asking again costs no call.
pub(crate) struct KnownUsers {
    core: CoreClient,
    users: Cache<UserId, KnownUser>,
    hasher: RandomState,
}

impl KnownUsers {
    pub(crate) fn new(core: CoreClient) -> Self {
        Self { core, users: Cache::new(CAPACITY), hasher: RandomState::new() }
    }

    /// Makes sure that the user of a token is in the directory, with what the token says of them.
    ///
    /// Fails with `UserDeleted` where the user was deleted from it.
    pub(crate) async fn ensure(&self, identity: &Identity) -> Result<(), Failure> {
        let Identity { user_id, issued_at, email, profile_json, .. } = identity;
        let said = email.is_some() || profile_json.is_some();
        let claims = said.then(|| self.hasher.hash_one((email, profile_json)));
        let known = self.users.get(user_id);
        let is_outdated = known.is_some_and(|known| known.is_outdated_by(claims, *issued_at));
        let trusted = known.filter(|known| known.since.elapsed() < TRUST);
        if trusted.is_some_and(|known| !is_outdated || known.was_refresh) {
            return Ok(());
        }
        let since = Instant::now();
        let asked = match known {
            Some(known) if !is_outdated => KnownUser { since, was_refresh: false, ..known },
            _ => {
                let issued_at = claims.and(*issued_at);
                KnownUser { claims, issued_at, since, was_refresh: is_outdated }
            }
        };
        if let Some(trusted) = trusted {
            // Requests that come meanwhile need not ask the same.
            self.users.insert(*user_id, KnownUser { since: trusted.since, ..asked });
        }
        let mut user = UserChange {
            id: user_id.to_string(),
            email: email.clone(),
            profile_json: profile_json.clone(),
            external_id: identity.external_id.as_ref().map(|id| ExternalId {
                issuer: id.issuer().to_owned(),
                subject: id.subject().to_owned(),
            }),
        };
        // Claims that the directory cannot hold are left out: the token is valid all the same.
        while let Err(failure) = ensure_user(&self.core, user.clone(), *issued_at).await {
            if failure.reason() != ErrorReason::InvalidField || !leave_out(&mut user, &failure) {
                self.users.remove(user_id);
                return Err(failure);
            }
            tracing::debug!(
                user.id = %user_id,
                field = failure.field,
                reason = failure.message,
                "a claim is left out"
            );
        }
        self.users.insert(*user_id, asked);
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
        // A service has said that it is another user's.
        "external_id" => user.external_id.take().is_some(),
        // Whichever it is.
        _ => {
            user.email.take().is_some()
                | user.profile_json.take().is_some()
                | user.external_id.take().is_some()
        }
    }
}

async fn ensure_user(
    core: &CoreClient,
    user: UserChange,
    issued_at: Option<i64>,
) -> Result<(), Failure> {
    let request = EnsureUserRequest { user: Some(user), issued_at };
    match core.directory.clone().ensure_user(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(Failure::from(&status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::TokenMark;
    use crate::stub_core::{StubCore, user};

    /// What a token says.
    fn said(email: Option<&str>, issued_at: Option<i64>) -> Identity {
        let email = email.map(Into::into);
        let (user_id, external_id, token) = (user(1), None, TokenMark::default());
        let profile_json = None;
        Identity { user_id, external_id, expires_at: 0, issued_at, email, profile_json, token }
    }

    /// The emails that the directory was told, and when they were issued.
    fn told(stub: &StubCore) -> Vec<(Option<String>, Option<i64>)> {
        stub.change(|state| std::mem::take(&mut state.ensured))
            .into_iter()
            .map(|request| (request.user.and_then(|user| user.email), request.issued_at))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_token_is_not_told_and_a_newer_one_at_once() {
        let stub = StubCore::default();
        let known_users = KnownUsers::new(stub.client());
        let ensure = async |email, issued_at| {
            known_users.ensure(&said(Some(email), issued_at)).await.expect("ensured");
        };
        let email = |email: &str, issued_at| (Some(email.to_owned()), issued_at);
        ensure("old", Some(100)).await;
        ensure("new", Some(200)).await;
        assert_eq!(told(&stub), [email("old", Some(100)), email("new", Some(200))]);
        for _ in 0..100 {
            ensure("old", Some(100)).await;
            ensure("undated", None).await;
            ensure("new", Some(200)).await;
        }
        assert_eq!(told(&stub), []);
        // Whoever comes with it after a minute is asked for, and what it says is still the older.
        tokio::time::advance(TRUST).await;
        ensure("old", Some(100)).await;
        assert_eq!(told(&stub), [email("old", Some(100))]);
        ensure("new", Some(200)).await;
        ensure("old", Some(100)).await;
        assert_eq!(told(&stub), []);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_disagree_refresh_a_user_once_a_minute() {
        let stub = StubCore::default();
        let known_users = KnownUsers::new(stub.client());
        let ensure = async |email| {
            known_users.ensure(&said(Some(email), None)).await.expect("ensured");
        };
        ensure("one").await;
        ensure("two").await;
        let mut last = told(&stub).pop();
        for _ in 0..5 {
            for _ in 0..59 {
                tokio::time::advance(Duration::from_secs(1)).await;
                ensure("one").await;
                ensure("two").await;
            }
            assert_eq!(told(&stub), []);
            tokio::time::advance(Duration::from_secs(1)).await;
            ensure("one").await;
            ensure("two").await;
            let told = told(&stub);
            let refreshes =
                told.iter().filter(|told| last.replace((*told).clone()).as_ref() != Some(told));
            assert_eq!(refreshes.count(), 1);
        }
    }

    /// What one request is about to tell, those beside it need not.
    #[tokio::test]
    async fn requests_at_the_same_time_refresh_once() {
        let stub = StubCore::default();
        let known_users = KnownUsers::new(stub.client());
        known_users.ensure(&said(Some("old"), None)).await.expect("ensured");
        let identity = said(Some("new"), None);
        let calls = (0..50).map(|_| known_users.ensure(&identity));
        let ensured = futures_util::future::join_all(calls).await;
        assert!(ensured.iter().all(Result::is_ok));
        assert_eq!(told(&stub).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_user_is_known_for_a_minute_at_most() {
        let stub = StubCore::default();
        let known_users = KnownUsers::new(stub.client());
        let user_id = user(1);
        let identity = said(None, None);
        let ensure = async || {
            let ensured = known_users.ensure(&identity).await;
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
        let profile_json = Some("{}".into());
        let identity = Identity { profile_json, ..said(Some("no address"), None) };
        let ensured = KnownUsers::new(stub.client()).ensure(&identity).await;
        assert_eq!(ensured.map_err(|failure| failure.reason()), Ok(()));
        let ensured = stub.state().ensured.clone();
        assert_eq!(ensured.len(), 2);
        let user = ensured[1].user.as_ref().expect("a user");
        assert_eq!(user.email, None);
        assert_eq!(user.profile_json.as_deref(), Some("{}"));

        // What names no claim of the token's ends it.
        stub.change(|state| state.refused_claim = Some("id"));
        let identity = Identity { email: None, profile_json: None, ..identity };
        let ensured = KnownUsers::new(stub.client()).ensure(&identity).await;
        assert_eq!(ensured.map_err(|failure| failure.reason()), Err(ErrorReason::InvalidField));
    }
}
