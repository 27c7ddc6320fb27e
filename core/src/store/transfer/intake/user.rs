//! Users that are imported.

use std::collections::{BTreeSet, HashMap};

use netrox_proto::{external_id::ExternalId, ids::UserId, v1};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Intake, Taken, check_time, is_far_ahead};
use crate::{
    clock,
    command::UserChange,
    lines::{Moment, UserLine},
    store::{
        copy::table::{Feed, User},
        engine::{Connection, on},
        external_id, presence,
        transfer::select_in,
        user::UserKey,
    },
};

const UPDATE: &str = "\
    update users set email = $2, profile = $3, deleted = $4, updated = $5, claims_issued = $6,
        upserted = $7
    where key = $1";

const MICROS_A_MINUTE: i64 = 60_000_000;

#[derive(Debug, FromRow)]
struct Known {
    key: i64,
    id: Uuid,
    email: String,
    profile: Option<String>,
    deleted: bool,
    updated: i64,
    claims_issued: Option<i64>,
    upserted: Option<i64>,
}

impl Known {
    /// Whether an entry says what a line does, or was told since by who knows better: a token, a service, who deleted it.
    fn says_all_of(&self, row: &User) -> bool {
        (&self.email, &self.profile) == (&row.email, &row.profile)
            || self.deleted
            || self.claims_issued.is_some()
            || self.upserted.is_some()
    }
}

impl Intake {
    /// The keys of users by their ids.
    pub(super) async fn keys_of(
        &mut self,
        ids: BTreeSet<Uuid>,
    ) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(Uuid, i64)> =
            select_in!(&mut self.connection, "select id, key from users where id", ids)?;
        Ok(rows.into_iter().collect())
    }

    /// Of one who is there, the newer entry stays, by the time of its last change.
    pub(crate) async fn users(&mut self, lines: Vec<UserLine>) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        let ids: BTreeSet<_> = lines.iter().map(|line| line.id).collect();
        let known: Vec<Known> = select_in!(
            &mut self.connection,
            "select key, id, email, profile, deleted, updated, claims_issued, upserted
            from users where id",
            ids
        )?;
        let known: HashMap<_, _> = known.into_iter().map(|row| (row.id, row)).collect();
        let (mut new, mut called) = (Vec::new(), Vec::new());
        let newest = newest(&lines);
        let mut names: BTreeSet<(String, String)> = BTreeSet::new();
        let (mut hidden, mut seen) = (Vec::new(), Vec::new());
        for (place, line) in lines.into_iter().enumerate() {
            let id = line.id;
            if newest.get(&id) != Some(&place) {
                taken.known += 1;
                continue;
            }
            let change = match checked(&line) {
                Ok(change) => change,
                Err(reason) => {
                    taken.refuse(place, reason);
                    continue;
                }
            };
            if let Some(external_id) = &change.external_id {
                let name = (external_id.issuer().to_owned(), external_id.subject().to_owned());
                let owner = self.owner(external_id).await?;
                if owner.is_some_and(|owner| owner.0 != id) || !names.insert(name) {
                    taken.refuse(place, "another user has this external id");
                    continue;
                }
            }
            let row = row(0, &line, &change);
            let (hides, minute) =
                (line.hides_presence, line.last_seen.map(|at| at.0 / MICROS_A_MINUTE));
            match known.get(&id) {
                Some(stored) if row.updated <= stored.updated || line.updated.is_none() => {
                    taken.known += 1;
                }
                Some(stored) if self.follows && stored.says_all_of(&row) => taken.known += 1,
                Some(stored) => {
                    let row = User {
                        key: stored.key,
                        // An older token, or an older word of a service, must not be believed again.
                        claims_issued: row.claims_issued.max(stored.claims_issued),
                        upserted: row.upserted.max(stored.upserted),
                        ..row
                    };
                    self.update(row).await?;
                    // One that is followed says nothing of it.
                    if !self.follows {
                        hidden.push((UserId(id), hides));
                    }
                    seen.extend(minute.map(|minute| (UserId(id), minute)));
                    called.extend(change.external_id.map(|id| (stored.key, id)));
                    taken.changed += 1;
                }
                None => {
                    self.last_key += 1;
                    called.extend(change.external_id.map(|id| (self.last_key, id)));
                    new.push(User { key: self.last_key, ..row });
                    if hides {
                        hidden.push((UserId(id), hides));
                    }
                    seen.extend(minute.map(|minute| (UserId(id), minute)));
                    taken.stored += 1;
                }
            }
        }
        let feeds = new.iter().map(|row| Feed {
            user_key: row.key,
            last_seq: 0,
            start: 0,
            has_blocks: None,
        });
        let feeds: Vec<_> = feeds.collect();
        self.write(new).await?;
        // SQLite begins a feed with its first change.
        if matches!(self.connection, Connection::Postgres(_)) {
            self.write(feeds).await?;
        }
        for (user, hides) in hidden {
            presence::hide(&mut self.connection, user, hides).await?;
        }
        if !seen.is_empty() {
            presence::note_seen(&mut self.connection, &seen).await?;
        }
        let called: Vec<_> = called.iter().map(|(key, id)| (UserKey(*key), id)).collect();
        match &mut self.connection {
            Connection::Sqlite(connection) => external_id::put_sqlite(connection, &called).await?,
            Connection::Postgres(connection) => {
                external_id::put_postgres(connection, &called).await?;
            }
        }
        Ok(taken)
    }

    async fn owner(&mut self, id: &ExternalId) -> Result<Option<UserId>, sqlx::Error> {
        Ok(external_id::find_owners(&mut self.connection, &[id]).await?.remove(id))
    }

    async fn update(&mut self, row: User) -> Result<(), sqlx::Error> {
        let key = UserKey(row.key);
        let User { email, profile, deleted, updated, claims_issued, upserted, .. } = row;
        on!(
            &mut self.connection,
            execute,
            sqlx::query(UPDATE)
                .bind(key)
                .bind(email)
                .bind(profile)
                .bind(deleted)
                .bind(updated)
                .bind(claims_issued)
                .bind(upserted)
        )?;
        if deleted {
            external_id::forget(&mut self.connection, key).await?;
        }
        Ok(())
    }
}

/// Of lines of one user the newest, by its place; an entry without a time is of now.
fn newest(lines: &[UserLine]) -> HashMap<Uuid, usize> {
    let mut newest: HashMap<Uuid, (usize, Option<Moment>)> = HashMap::new();
    for (place, line) in lines.iter().enumerate() {
        let kept = newest.entry(line.id).or_insert((place, line.updated));
        if kept.1.is_some() && line.updated > kept.1 {
            *kept = (place, line.updated);
        }
    }
    newest.into_iter().map(|(id, (place, _))| (id, place)).collect()
}

/// What a service may say of a user.
fn checked(line: &UserLine) -> Result<UserChange, String> {
    if line.deleted
        && (!line.email.is_empty() || line.profile.is_some() || line.external_id.is_some())
    {
        return Err("a user who was deleted has no email, profile or external id".to_owned());
    }
    check_time("updated", line.updated)?;
    check_time("last_seen", line.last_seen)?;
    let change = v1::UserChange {
        id: line.id.hyphenated().to_string(),
        email: Some(line.email.clone()),
        profile_json: line.profile.as_ref().map(|raw| raw.get().to_owned()),
        external_id: line
            .external_id
            .as_ref()
            .map(|id| v1::ExternalId { issuer: id.issuer.clone(), subject: id.subject.clone() }),
    };
    UserChange::try_from(change).map_err(|error| error.to_string())
}

fn row(key: i64, line: &UserLine, change: &UserChange) -> User {
    User {
        key,
        id: line.id,
        email: line.email.clone(),
        profile: change.profile.clone().flatten(),
        deleted: line.deleted,
        updated: line.updated.map_or_else(clock::now_micros, |at| at.0),
        // Beyond it no token would ever be newer.
        claims_issued: line.claims_issued.filter(|at| !is_far_ahead(*at)),
        upserted: line.upserted,
    }
}
