//! The writes of a batch that are no messages: users, each named once in a set, and what is too rare for sets.

use std::collections::HashSet;

use netrox_proto::ids::UserId;

use super::{
    Answer, Write, Written,
    watchdog::{Phase, Progress},
};
use crate::{
    command::UserChange,
    error::Error,
    store::{
        self,
        user::{Source, Upsert, UserRow},
        writer::{USERS_AT_A_TIME, WriteTransaction},
    },
};

/// Writes them in their order. Gives their answers, in the same order.
pub(super) async fn write(
    transaction: &mut WriteTransaction<'_>,
    writes: &[Write],
    now: i64,
    progress: &Progress,
) -> Result<Vec<Answer>, store::Error> {
    if writes.iter().any(Write::changes_directory) {
        transaction.lock_directory().await?;
    }
    let mut answers = Vec::new();
    let mut set = UserSet::default();
    for write in writes {
        let users: &[UserChange] = match write {
            Write::Message(_) | Write::Dispatch(_) => continue,
            Write::UpsertUsers(changes) => changes,
            Write::EnsureUser(claims) => std::slice::from_ref(&claims.change),
            other => {
                answers.append(&mut set.write(transaction, now, progress).await?);
                answers.push(write_singly(transaction, other, now).await?);
                continue;
            }
        };
        if users.iter().any(|change| set.ids.contains(&change.id)) {
            answers.append(&mut set.write(transaction, now, progress).await?);
        }
        set.add(write, users);
    }
    answers.append(&mut set.write(transaction, now, progress).await?);
    Ok(answers)
}

/// Changes of different users, which are written at once.
#[derive(Default)]
struct UserSet<'a> {
    ids: HashSet<UserId>,
    upserts: Vec<Upsert<'a>>,
    /// The writes, with how many of the changes each has.
    writes: Vec<(&'a Write, usize)>,
}

impl<'a> UserSet<'a> {
    fn add(&mut self, write: &'a Write, users: &'a [UserChange]) {
        let source = match write {
            Write::EnsureUser(claims) => Source::Claims { issued: claims.issued },
            _ => Source::Service,
        };
        self.ids.extend(users.iter().map(|change| change.id));
        self.upserts.extend(users.iter().map(|change| Upsert { change, source }));
        self.writes.push((write, users.len()));
    }

    /// Writes what it has, and is empty again.
    async fn write(
        &mut self,
        transaction: &mut WriteTransaction<'_>,
        now: i64,
        progress: &Progress,
    ) -> Result<Vec<Answer>, store::Error> {
        let Self { upserts, writes, .. } = std::mem::take(self);
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::with_capacity(upserts.len());
        for some in upserts.chunks(USERS_AT_A_TIME) {
            rows.append(&mut transaction.upsert_users(some, now).await?);
            progress.enter(Phase::Working);
        }
        let mut rows = rows.into_iter();
        let answers = writes.into_iter().map(|(_, count)| {
            let rows: Option<Vec<UserRow>> = rows.by_ref().take(count).collect();
            rows.map(Written::Users).ok_or(Error::UserDeleted)
        });
        Ok(answers.collect())
    }
}

async fn write_singly(
    transaction: &mut WriteTransaction<'_>,
    write: &Write,
    now: i64,
) -> Result<Answer, store::Error> {
    match write {
        Write::DeleteUser(user) => {
            let found = transaction.delete_user(*user, now).await?;
            return Ok(if found { Ok(Written::Nothing) } else { Err(Error::UserUnknown) });
        }
        Write::BeginUpload(path) => transaction.begin_upload(path).await?,
        Write::EndUpload(path) => transaction.end_upload(path).await?,
        Write::Probe => transaction.probe(now).await?,
        Write::TakeRoom => transaction.take_room().await?,
        Write::GiveRoomBack => transaction.give_room_back().await?,
        // Written in sets.
        Write::Message(_) | Write::Dispatch(_) | Write::UpsertUsers(_) | Write::EnsureUser(_) => {}
    }
    Ok(Ok(Written::Nothing))
}
