//! What edges are to know of access tokens and of open WebSockets: revocations, ends of sessions, and questions to edges.

use std::collections::HashMap;

use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read, read_postgres},
};

/// Of all kinds, read at a time.
pub(crate) const PAGE_NOTICES: usize = 1_000;
/// Revocations that are kept, and ends of sessions.
const MAX_REVOCATIONS: i64 = 250_000;
const MAX_ENDS: i64 = 50_000;

/// What a notice is about, as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    AllTokens = 0,
    TokensOfUser = 1,
    Token = 2,
    SessionsOfUser = 3,
    Session = 4,
    /// Of a core to the edges: which sessions a user has.
    Question = 5,
}

impl NoticeKind {
    /// `None` of a later version.
    pub(crate) fn of(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::AllTokens,
            1 => Self::TokensOfUser,
            2 => Self::Token,
            3 => Self::SessionsOfUser,
            4 => Self::Session,
            5 => Self::Question,
            _ => return None,
        })
    }

    /// The kinds that share a bound with it, and that bound. Questions are gone before they are too many.
    fn bound(self) -> Option<(Self, Self, i64)> {
        match self {
            Self::AllTokens | Self::TokensOfUser | Self::Token => {
                Some((Self::AllTokens, Self::Token, MAX_REVOCATIONS))
            }
            Self::SessionsOfUser | Self::Session => {
                Some((Self::SessionsOfUser, Self::Session, MAX_ENDS))
            }
            Self::Question => None,
        }
    }

    /// Whether each time is another one, greater than the last.
    fn grows(self) -> bool {
        match self {
            Self::AllTokens | Self::TokensOfUser | Self::Token => false,
            Self::SessionsOfUser | Self::Session | Self::Question => true,
        }
    }
}

/// What is to be noted. Together with what was noted of the same before, it only ever says more.
#[derive(Debug, Clone)]
pub(crate) struct NewNotice {
    pub(crate) kind: NoticeKind,
    pub(crate) key: Vec<u8>,
    pub(crate) cutoff: i64,
    /// Seconds since the epoch.
    pub(crate) expires: Option<i64>,
}

/// As it is noted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct Noted {
    pub(crate) cutoff: i64,
    pub(crate) expires: Option<i64>,
}

#[derive(Debug, Clone, FromRow)]
pub(crate) struct NoticeRow {
    pub(crate) version: i64,
    pub(crate) kind: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) cutoff: i64,
    pub(crate) expires: Option<i64>,
}

/// What an edge answered.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct AnswerRow {
    pub(crate) edge: String,
    pub(crate) sessions: Vec<u8>,
}

/// There are as many as may be.
#[derive(Debug)]
pub(crate) struct TooMany(pub(crate) i64);

const LAST_VERSION: &str = "select coalesce(max(version), 0) from session_notices";
const FIND: &str = "select cutoff, expires from session_notices where kind = $1 and key = $2";
const LIST: &str = "\
    select version, kind, key, cutoff, expires from session_notices where version > $1
    order by version limit $2";
/// Some at a time. The last version stays, so that none is given twice.
const FORGET_EXPIRED: &str = "\
    delete from session_notices where version in (
        select version from session_notices
        where expires < $1 and version < (select max(version) from session_notices)
        order by expires limit 1000)";
/// Ends of sessions alone, all of which expire.
const FORGET_OLDEST: &str = "\
    delete from session_notices where version in (
        select version from session_notices
        where expires is not null and kind between $1 and $2
            and version < (select max(version) from session_notices)
        order by expires limit 1)";
const IS_KNOWN: &str = "select exists (select 1 from session_notices where kind = $1 and key = $2)";
const COUNT: &str = "\
    select count(*) from (
        select 1 from session_notices where kind between $1 and $2 limit $3) as kept";
const NOTE: &str = "\
    insert into session_notices (version, kind, key, cutoff, expires)
    values ((select coalesce(max(version), 0) + 1 from session_notices), $1, $2, $3, $4)
    on conflict (kind, key) do update set
        version = excluded.version,
        cutoff = case when excluded.cutoff > session_notices.cutoff then excluded.cutoff
            else session_notices.cutoff + $5 end,
        expires = case when excluded.expires > session_notices.expires then excluded.expires
            when excluded.expires is null then null
            else session_notices.expires end
    returning cutoff, expires";
/// By the clock of the database, which all cores share.
macro_rules! now {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    };
}
const SEE_EDGES: &str = concat!(
    "insert into session_edges (edge, seen) select edge, ",
    now!(),
    " from unnest($1::text[]) as w (edge) on conflict (edge) do update set seen = excluded.seen"
);
/// With those that were not seen for long.
const FORGET_EDGES: &str =
    concat!("delete from session_edges where edge = any($1) or seen < ", now!(), " - 3600000000");
/// Twice as long ago as they are seen anew, and some more.
const LIST_EDGES: &str =
    concat!("select edge from session_edges where seen > ", now!(), " - 60000000 limit 10000");
const ANSWER: &str = concat!(
    "insert into session_answers (question, edge, sessions, answered) values ($1, $2, $3, ",
    now!(),
    ") on conflict (question, edge) do nothing"
);
const FORGET_ANSWERS: &str =
    concat!("delete from session_answers where answered < ", now!(), " - 60000000");
const LIST_ANSWERS: &str = "select edge, sessions from session_answers where question = $1";

impl Store {
    /// Of the latest notice; 0 where there is none.
    pub(crate) async fn last_notice(&self) -> Result<i64, Error> {
        read!(self, fetch_one, sqlx::query_scalar(LAST_VERSION))
    }

    /// What is noted of the same.
    pub(crate) async fn find_notice(
        &self,
        kind: NoticeKind,
        key: &[u8],
    ) -> Result<Option<Noted>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND).bind(kind as i64).bind(key))
    }

    /// Notices after a version, in their order: at most [`PAGE_NOTICES`].
    pub(crate) async fn list_notices(&self, after: i64) -> Result<Vec<NoticeRow>, Error> {
        read!(self, fetch_all, sqlx::query_as(LIST).bind(after).bind(PAGE_NOTICES as i64))
    }

    /// Edges of all cores; of PostgreSQL.
    pub(crate) async fn list_edges(&self) -> Result<Vec<String>, Error> {
        self.of_postgres(LIST_EDGES, None)
            .await
            .map(|rows: Vec<(String,)>| rows.into_iter().map(|(edge,)| edge).collect())
    }

    /// What came in answer to a question; of PostgreSQL.
    pub(crate) async fn list_answers(&self, question: Uuid) -> Result<Vec<AnswerRow>, Error> {
        self.of_postgres(LIST_ANSWERS, Some(question)).await
    }

    async fn of_postgres<T>(&self, sql: &'static str, key: Option<Uuid>) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let rows = match self.readers()? {
            // A core that is alone knows all itself.
            Readers::Sqlite(_) => return Ok(Vec::new()),
            Readers::Postgres(pool) => {
                let query = sqlx::query_as(sql);
                let query = match key {
                    Some(key) => query.bind(key),
                    None => query,
                };
                read_postgres!(pool, fetch_all, query)
            }
        };
        self.known(rows)
    }
}

/// What is known of notices in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What had expired was forgotten.
    is_tidy: bool,
    /// How many there may be, by the first of the kinds that share a bound.
    counts: HashMap<i64, i64>,
}

/// Under the lock of the directory. `now` is in seconds since the epoch.
pub(super) async fn note(
    connection: &mut Connection,
    notice: &NewNotice,
    now: i64,
    kept: &mut Kept,
) -> Result<Result<Noted, TooMany>, sqlx::Error> {
    let NewNotice { kind, key, cutoff, expires } = notice;
    if !std::mem::replace(&mut kept.is_tidy, true) {
        on!(connection, execute, sqlx::query(FORGET_EXPIRED).bind(now))?;
    }
    if let Some(bound) = kind.bound()
        && let Err(too_many) = make_room(connection, notice, bound, kept).await?
    {
        return Ok(Err(too_many));
    }
    let noted: Noted = on!(
        connection,
        fetch_one,
        sqlx::query_as(NOTE)
            .bind(*kind as i64)
            .bind(key)
            .bind(cutoff)
            .bind(expires)
            .bind(i64::from(kind.grows()))
    )?;
    Ok(Ok(noted))
}

/// Room for one more of the kinds from the first to the last; ends of sessions take the place of the oldest.
async fn make_room(
    connection: &mut Connection,
    notice: &NewNotice,
    (first, last, max): (NoticeKind, NoticeKind, i64),
    kept: &mut Kept,
) -> Result<Result<(), TooMany>, sqlx::Error> {
    let (first, last) = (first as i64, last as i64);
    let known = kept.counts.get(&first).copied();
    // It counts what was only widened, too.
    let count = match known.filter(|count| *count < max) {
        Some(count) => count,
        None => {
            on!(connection, fetch_one, sqlx::query_scalar(COUNT).bind(first).bind(last).bind(max))?
        }
    };
    if count >= max {
        let is_known: bool = on!(
            connection,
            fetch_one,
            sqlx::query_scalar(IS_KNOWN).bind(notice.kind as i64).bind(&notice.key)
        )?;
        if !is_known && !notice.kind.grows() {
            return Ok(Err(TooMany(max)));
        }
        if !is_known {
            on!(connection, execute, sqlx::query(FORGET_OLDEST).bind(first).bind(last))?;
        }
    }
    kept.counts.insert(first, count + 1);
    Ok(Ok(()))
}

/// Of PostgreSQL, as all that follows: a core that is alone knows it by itself.
pub(super) async fn see_edges(
    connection: &mut Connection,
    edges: &[String],
) -> Result<(), sqlx::Error> {
    let Connection::Postgres(connection) = connection else { return Ok(()) };
    // They have addresses of clients: none stays long, also where nobody asks again.
    sqlx::query(FORGET_ANSWERS).execute(&mut *connection).await?;
    sqlx::query(SEE_EDGES).bind(edges).execute(connection).await.map(drop)
}

pub(super) async fn forget_edges(
    connection: &mut Connection,
    edges: &[String],
) -> Result<(), sqlx::Error> {
    let Connection::Postgres(connection) = connection else { return Ok(()) };
    sqlx::query(FORGET_EDGES).bind(edges).execute(connection).await.map(drop)
}

pub(super) async fn answer(
    connection: &mut Connection,
    question: Uuid,
    edge: &str,
    sessions: &[u8],
) -> Result<(), sqlx::Error> {
    let Connection::Postgres(connection) = connection else { return Ok(()) };
    sqlx::query(FORGET_ANSWERS).execute(&mut *connection).await?;
    let answer = sqlx::query(ANSWER).bind(question).bind(edge).bind(sessions);
    answer.execute(connection).await.map(drop)
}
