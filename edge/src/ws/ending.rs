//! Connections that are to end before their clients want it: because a token was taken away, or a service says so.

use std::{collections::HashSet, sync::Arc};

use netrox_proto::{
    ids::UserId,
    time::timestamp,
    v1::{RevokedTokens, Session, ended_sessions::Sessions, revoked_tokens::Tokens},
};
use tokio::task::yield_now;
use uuid::Uuid;

use super::{WebSockets, close::CloseReason, members::Members, queue::Outgoing};
use crate::{auth::now, revocation::Revocations, wire::Generation};

/// Users whose connections are looked at without a break.
const USERS_AT_A_TIME: usize = 1_000;
const MICROS_A_SECOND: i64 = 1_000_000;

impl WebSockets {
    /// Closes the connections whose token was taken away by what is new. Whoever joins meanwhile finds it out.
    pub(crate) async fn close_revoked(&self, revocations: &Revocations, new: &[RevokedTokens]) {
        let close = |user: UserId, members: &Members| {
            for outgoing in members.all() {
                if revocations.mean(user, &outgoing.admitted().token) {
                    outgoing.close(CloseReason::TokenRevoked);
                }
            }
        };
        match users(new) {
            Some(users) => {
                for user in users {
                    self.sockets.members_of(user).iter().for_each(|members| close(user, members));
                }
            }
            None => self.for_all(close).await,
        }
    }

    pub(crate) async fn end_sessions(&self, ended: &[Sessions]) {
        let mut single = HashSet::new();
        for sessions in ended {
            match sessions {
                Sessions::UserId(user) => {
                    let Ok(user) = Uuid::from_slice(user) else { continue };
                    if let Some(members) = self.sockets.members_of(UserId(user)) {
                        members.close_all(CloseReason::SessionEnded);
                    }
                }
                Sessions::SessionId(session) => single.extend(Uuid::from_slice(session)),
            }
        }
        if single.is_empty() {
            return;
        }
        self.for_all(|_, members| {
            for outgoing in members.all() {
                if single.contains(&outgoing.admitted().session_id) {
                    outgoing.close(CloseReason::SessionEnded);
                }
            }
        })
        .await;
    }

    /// With the other work of this edge in between.
    async fn for_all(&self, act: impl Fn(UserId, &Members)) {
        let all = self.sockets.all_members();
        for some in all.chunks(USERS_AT_A_TIME) {
            some.iter().for_each(|(user, members)| act(*user, members));
            yield_now().await;
        }
    }

    /// What a user has open here, without the name of this edge.
    pub(crate) fn sessions_of(&self, user: &[u8]) -> Vec<Session> {
        let Ok(user) = Uuid::from_slice(user).map(UserId) else { return Vec::new() };
        let members = self.sockets.members_of(user);
        let all = members.iter().flat_map(|members| members.all());
        all.map(|outgoing| session(user, &outgoing)).collect()
    }

    /// Returns when this edge drains and the last session has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.draining().cancelled().await;
        self.sockets.sessions.wait().await;
    }
}

/// Whose tokens are meant, where that are those of some users alone.
fn users(revoked: &[RevokedTokens]) -> Option<Vec<UserId>> {
    let user = |revoked: &RevokedTokens| match &revoked.tokens {
        Some(Tokens::UserId(user)) => Uuid::from_slice(user).ok().map(UserId),
        Some(Tokens::Token(_) | Tokens::All(_)) | None => None,
    };
    revoked.iter().map(user).collect()
}

fn session(user: UserId, outgoing: &Arc<Outgoing>) -> Session {
    let admitted = outgoing.admitted();
    let age = i64::try_from(outgoing.age().as_micros()).unwrap_or(i64::MAX);
    let of_seconds = |seconds: i64| timestamp(seconds.saturating_mul(MICROS_A_SECOND));
    Session {
        session_id: admitted.session_id.to_string(),
        user_id: user.to_string(),
        generation: match outgoing.generation() {
            Generation::V1 => 1,
            Generation::V2 => 2,
        },
        edge: String::new(),
        client_address: admitted.address.map(|address| address.to_string()).unwrap_or_default(),
        opened_at: Some(timestamp(now().saturating_mul(MICROS_A_SECOND).saturating_sub(age))),
        token_expires_at: Some(of_seconds(admitted.expires_at)),
    }
}
