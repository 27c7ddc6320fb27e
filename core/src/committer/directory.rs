//! The writes of a batch that change users: those that are named once go together.

use std::collections::HashSet;

use netrox_proto::{external_id::ExternalId, ids::UserId};

use super::{
    answer::{Answers, Written},
    session::has_notice,
    watchdog::{Phase, Progress},
    write::{DirectoryWrite, Verb, Write},
};
use crate::{
    command::{Claims, UserChange},
    error::Error,
    store::{
        self,
        external_id::Owners,
        user::{Source, Upsert, UserRow},
        writer::{USERS_AT_A_TIME, WriteTransaction},
    },
};

/// Users as a service says that they are.
#[derive(Debug)]
pub(crate) struct UpsertUsers(pub(crate) Vec<UserChange>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct DeleteUser {
    pub(crate) user: UserId,
    /// Whether all that they have sent is erased from then on.
    pub(crate) erases_messages: bool,
}

/// Whether a user is online to nobody from now on.
#[derive(Debug)]
pub(crate) struct Hide {
    pub(crate) user: UserId,
    pub(crate) hides: bool,
}

impl Verb for Hide {
    type Answer = ();

    fn into_write(self) -> Write {
        let Self { user, hides } = self;
        Write::Directory(DirectoryWrite::Hide { user, hides })
    }
}

impl Verb for UpsertUsers {
    type Answer = Vec<UserRow>;

    fn into_write(self) -> Write {
        Write::Directory(DirectoryWrite::UpsertUsers(self.0))
    }
}

impl Verb for Claims {
    type Answer = UserRow;

    fn into_write(self) -> Write {
        Write::Directory(DirectoryWrite::EnsureUser(self))
    }
}

impl Verb for DeleteUser {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Directory(DirectoryWrite::DeleteUser(self))
    }
}

/// Writes them in their order.
pub(super) async fn write(
    transaction: &mut WriteTransaction<'_>,
    writes: &[Write],
    now: i64,
    progress: &Progress,
    answers: &mut Answers,
) -> Result<(), store::Error> {
    // Of notices, too, which are committed in the order of their versions.
    if has_notice(writes) || writes.iter().any(|write| matches!(write, Write::Directory(_))) {
        transaction.lock_directory().await?;
    }
    let mut owners = owners(transaction, writes).await?;
    let mut set = UserSet::default();
    for (index, write) in writes.iter().enumerate() {
        let write = match write {
            Write::Directory(write) => write,
            Write::Chat(_) | Write::Session(_) | Write::Upkeep(_) => continue,
        };
        let (users, source) = match write {
            DirectoryWrite::UpsertUsers(changes) => (&changes[..], Source::Service),
            DirectoryWrite::EnsureUser(claims) => {
                let source = Source::Claims { issued: claims.issued };
                (std::slice::from_ref(&claims.change), source)
            }
            DirectoryWrite::DeleteUser(DeleteUser { user, erases_messages }) => {
                set.write(transaction, now, progress, answers).await?;
                let found = transaction.delete_user(*user, *erases_messages, now).await?;
                let answer = if found { Ok(Written::Nothing) } else { Err(Error::UserUnknown) };
                answers.set(index, answer);
                continue;
            }
            DirectoryWrite::Hide { user, hides } => {
                set.write(transaction, now, progress, answers).await?;
                let answer = match transaction.hide(*user, *hides).await? {
                    Some(false) => Ok(Written::Nothing),
                    Some(true) => Err(Error::UserDeleted),
                    None => Err(Error::UserUnknown),
                };
                answers.set(index, answer);
                continue;
            }
        };
        if !is_free(users, &mut owners) {
            let problem = "another user has it";
            answers.set(index, Err(Error::InvalidField { field: "external_id", problem }));
            continue;
        }
        if users.iter().any(|change| set.ids.contains(&change.id)) {
            set.write(transaction, now, progress, answers).await?;
        }
        set.add(index, users, source);
    }
    set.write(transaction, now, progress, answers).await
}

/// Who has the external ids that the writes name.
async fn owners(
    transaction: &mut WriteTransaction<'_>,
    writes: &[Write],
) -> Result<Owners, store::Error> {
    let mut named: Vec<&ExternalId> = Vec::new();
    for write in writes {
        match write {
            Write::Directory(DirectoryWrite::UpsertUsers(changes)) => {
                named.extend(changes.iter().filter_map(|change| change.external_id.as_ref()));
            }
            Write::Directory(DirectoryWrite::EnsureUser(claims)) => {
                named.extend(claims.change.external_id.as_ref());
            }
            Write::Directory(DirectoryWrite::DeleteUser(_) | DirectoryWrite::Hide { .. })
            | Write::Chat(_)
            | Write::Session(_)
            | Write::Upkeep(_) => {}
        }
    }
    if named.is_empty() { Ok(Owners::new()) } else { transaction.find_owners(&named).await }
}

/// Whether users are called as nobody else is. If so they have these external ids from here on. What others lose in the
/// same batch is theirs to its end: none of its writes is known to come before another.
fn is_free(users: &[UserChange], owners: &mut Owners) -> bool {
    let called = || users.iter().filter_map(|user| Some((user.id, user.external_id.as_ref()?)));
    if called().any(|(user, id)| owners.get(id).is_some_and(|owner| *owner != user)) {
        return false;
    }
    owners.extend(called().map(|(user, id)| (id.clone(), user)));
    true
}

/// Changes of different users, which are written at once.
#[derive(Default)]
struct UserSet<'a> {
    ids: HashSet<UserId>,
    upserts: Vec<Upsert<'a>>,
    /// Which writes they are of, with how many of the changes each has.
    writes: Vec<(usize, usize)>,
}

impl<'a> UserSet<'a> {
    fn add(&mut self, index: usize, users: &'a [UserChange], source: Source) {
        self.ids.extend(users.iter().map(|change| change.id));
        self.upserts.extend(users.iter().map(|change| Upsert { change, source }));
        self.writes.push((index, users.len()));
    }

    /// Writes what it has, and is empty again.
    async fn write(
        &mut self,
        transaction: &mut WriteTransaction<'_>,
        now: i64,
        progress: &Progress,
        answers: &mut Answers,
    ) -> Result<(), store::Error> {
        let Self { upserts, writes, .. } = std::mem::take(self);
        if writes.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(upserts.len());
        for some in upserts.chunks(USERS_AT_A_TIME) {
            rows.append(&mut transaction.upsert_users(some, now).await?);
            progress.enter(Phase::Working);
        }
        let mut rows = rows.into_iter();
        for (index, count) in writes {
            let rows: Option<Vec<UserRow>> = rows.by_ref().take(count).collect();
            answers.set(index, rows.map(Written::Users).ok_or(Error::UserDeleted));
        }
        Ok(())
    }
}
