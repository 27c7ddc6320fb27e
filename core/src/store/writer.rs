//! The one connection that writes.
//!
//! After an error in a write transaction SQLite may have rolled back by itself while the driver
//! still counts the transaction: what would be committed on such a connection would never be stored. So a
//! connection that has seen an error is closed, and the next transaction opens another.

use netrox_proto::ids::UserId;
use sqlx::{
    Connection, SqliteConnection, Transaction,
    sqlite::{Sqlite, SqliteConnectOptions},
};

use super::{
    Error,
    batch::{self, Loaded, Rows, Wanted},
    upload,
    user::{self, UserRow},
};
use crate::command::UserChange;

#[derive(Debug)]
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: SqliteConnection,
    last_ids: LastIds,
}

/// The greatest ids in use. Kept here, as nobody else writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastIds {
    pub(crate) message: i64,
    pub(crate) thread: i64,
}

const BEGIN: &str = "begin immediate";
const MESSAGE_EXISTS: &str = "select exists (select 1 from messages where id = $1)";
const PROBE: &str = "\
    insert into write_probe (id, written) values (1, $1)
    on conflict (id) do update set written = excluded.written";

impl Writer {
    pub(super) async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let open = Some(Open::new(&options).await?);
        Ok(Self { options, open })
    }

    pub(crate) async fn begin(&mut self) -> Result<WriteTransaction<'_>, Error> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(&self.options).await?),
        };
        let transaction = open.connection.begin_with(BEGIN).await?;
        Ok(WriteTransaction { transaction, last_ids: &mut open.last_ids })
    }

    /// Closes the connection. To be called after any error of a transaction.
    pub(crate) async fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            // Its error would only repeat the one that led here.
            let _ = open.connection.close().await;
        }
    }

    /// Whether a message is stored after a commit that failed. Commits something of its own first, which
    /// either makes what is there durable or takes the place of what is not.
    pub(crate) async fn settle(&mut self, message_id: i64, now: i64) -> Result<bool, Error> {
        let mut probe = self.begin().await?;
        probe.probe(now).await?;
        let last_ids = probe.last_ids();
        probe.commit(last_ids).await.map_err(CommitError::into_inner)?;
        let mut transaction = self.begin().await?;
        Ok(sqlx::query_scalar(MESSAGE_EXISTS)
            .bind(message_id)
            .fetch_one(&mut *transaction.transaction)
            .await?)
    }

    pub(crate) async fn close(mut self) -> Result<(), Error> {
        match self.open.take() {
            Some(open) => Ok(open.connection.close().await?),
            None => Ok(()),
        }
    }
}

impl Open {
    async fn new(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let mut connection = SqliteConnection::connect_with(options).await?;
        let (message, thread) = batch::last_ids(&mut connection).await?;
        Ok(Self { connection, last_ids: LastIds { message, thread } })
    }
}

/// What a failed commit left behind.
#[derive(Debug)]
pub(crate) enum CommitError {
    NotStored(Error),
    /// It may have been stored, and may not be durable.
    InDoubt(Error),
}

impl CommitError {
    fn into_inner(self) -> Error {
        match self {
            Self::NotStored(error) | Self::InDoubt(error) => error,
        }
    }
}

/// Dropped without [`commit`](Self::commit), it is rolled back.
#[derive(Debug)]
pub(crate) struct WriteTransaction<'a> {
    transaction: Transaction<'a, Sqlite>,
    last_ids: &'a mut LastIds,
}

impl WriteTransaction<'_> {
    pub(crate) fn last_ids(&self) -> LastIds {
        *self.last_ids
    }

    pub(crate) async fn upsert_user(
        &mut self,
        change: &UserChange,
        now: i64,
    ) -> Result<UserRow, Error> {
        Ok(user::upsert(&mut self.transaction, change, now).await?)
    }

    /// `None` where the user was deleted.
    pub(crate) async fn ensure_user(
        &mut self,
        change: &UserChange,
        now: i64,
    ) -> Result<Option<UserRow>, Error> {
        if user::is_deleted(&mut self.transaction, change.id).await? {
            return Ok(None);
        }
        Ok(Some(user::upsert(&mut self.transaction, change, now).await?))
    }

    /// Whether there was such a user.
    pub(crate) async fn delete_user(&mut self, id: UserId, now: i64) -> Result<bool, Error> {
        Ok(user::delete(&mut self.transaction, id, now).await?)
    }

    pub(crate) async fn load(&mut self, wanted: Wanted) -> Result<Loaded, Error> {
        Ok(batch::load(&mut self.transaction, wanted).await?)
    }

    pub(crate) async fn store(&mut self, rows: &Rows<'_>) -> Result<(), Error> {
        Ok(batch::store(&mut self.transaction, rows).await?)
    }

    pub(crate) async fn begin_upload(&mut self, path: &str) -> Result<(), Error> {
        Ok(upload::begin(&mut self.transaction, path).await?)
    }

    pub(crate) async fn end_upload(&mut self, path: &str) -> Result<(), Error> {
        Ok(upload::end(&mut self.transaction, path).await?)
    }

    /// Writes what nobody reads, to see whether it can be written.
    pub(crate) async fn probe(&mut self, now: i64) -> Result<(), Error> {
        sqlx::query(PROBE).bind(now).execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Durable when it returns; `last_ids` are in use from then on.
    pub(crate) async fn commit(self, last_ids: LastIds) -> Result<(), CommitError> {
        match self.transaction.commit().await.map_err(Error::from) {
            Ok(()) => {
                *self.last_ids = last_ids;
                Ok(())
            }
            Err(error) if error.leaves_nothing() => Err(CommitError::NotStored(error)),
            Err(error) => Err(CommitError::InDoubt(error)),
        }
    }
}
