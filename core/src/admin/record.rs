//! What is kept of a user beside messages.

use netrox_proto::{ids::UserId, time::timestamp, v1};

use crate::{
    error::Error,
    store::{Store, session::NoticeKind, user::UserRow},
};

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_MINUTE: i64 = 60_000_000;

pub(super) struct Found {
    pub(super) user: UserRow,
    pub(super) record: v1::UserRecord,
}

pub(super) async fn find(store: &Store, id: UserId) -> Result<Found, Error> {
    let user = store.find_entry(id).await?.ok_or(Error::UserUnknown)?;
    let facts = store.user_facts(id).await?.ok_or(Error::UserUnknown)?;
    let used = store.used_storage(id).await?;
    let key = id.0.as_bytes();
    let revoked = store.find_notice(NoticeKind::TokensOfUser, key).await?;
    let ended = store.find_notice(NoticeKind::SessionsOfUser, key).await?;
    let hides_presence = store.is_hidden(user.key).await?;
    let minute = store.last_seen(&[id]).await?.remove(&id);
    let of_seconds = |seconds: i64| timestamp(seconds.saturating_mul(MICROS_A_SECOND));
    let record = v1::UserRecord {
        user: Some(user.clone().into()),
        deleted: user.deleted,
        updated: Some(timestamp(facts.updated)),
        threads: facts.threads,
        storage_bytes: used.bytes,
        revoked: revoked.map(|noted| v1::TokensRevoked {
            issued_until: Some(of_seconds(noted.cutoff)),
            expires_at: noted.expires.map(of_seconds),
        }),
        sessions_ended: ended.map(|noted| timestamp(noted.cutoff)),
        last_seq: facts.last_seq.cast_unsigned(),
        hides_presence,
        last_seen: minute.map(|minute| timestamp(minute.saturating_mul(MICROS_A_MINUTE))),
    };
    Ok(Found { user, record })
}
