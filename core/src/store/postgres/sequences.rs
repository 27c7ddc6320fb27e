//! The sequences that ids come from, held against the tables.
//!
//! A database that was moved by logical replication has its tables complete and its sequences unused: every id that they
//! gave would be taken.

use std::fmt;

use sqlx::PgConnection;

/// What a sequence that was behind its table is put ahead of it: more ids than all cores can have taken and not yet
/// stored, or can take while one statement runs.
const ROOM: i64 = 1_000_000;

/// One lift at a time: another could put a sequence back to before what was given in between.
const LOCK: &str = "select pg_advisory_lock(hashtext('netrox-chat sequences'))";
const UNLOCK: &str = "select pg_advisory_unlock(hashtext('netrox-chat sequences'))";
/// The last id that a sequence gave, in a query on it.
macro_rules! given {
    () => {
        "case when is_called then last_value else last_value - 1 end"
    };
}

/// Each with the last id that it gave and the greatest of its table.
macro_rules! find {
    ($sequence:literal, $column:literal, $table:literal) => {
        concat!(
            "select '",
            $sequence,
            "' as sequence, (select ",
            given!(),
            " from ",
            $sequence,
            ") as given, (select coalesce(max(",
            $column,
            "), 0) from ",
            $table,
            ") as used"
        )
    };
}

/// In one statement: whoever takes an id meanwhile takes it from what is left of the margin.
macro_rules! lift {
    ($sequence:literal) => {
        concat!(
            "select given, setval('",
            $sequence,
            "', greatest(given + 1000000, $1 + $2)) from (select ",
            given!(),
            " as given from ",
            $sequence,
            ") as s where $3 or given < $1"
        )
    };
}

const FIND: &str = concat!(
    find!("message_ids", "id", "messages"),
    " union all ",
    find!("thread_ids", "id", "threads"),
    " union all ",
    find!("users_key_seq", "key", "users")
);
const LIFTS: [(&str, &str); 3] = [
    ("message_ids", lift!("message_ids")),
    ("thread_ids", lift!("thread_ids")),
    ("users_key_seq", lift!("users_key_seq")),
];

/// A sequence that was lifted: the last id that it had given, and the one that it goes on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Lifted {
    sequence: &'static str,
    from: i64,
    to: i64,
}

impl fmt::Display for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.sequence, self.from, self.to)
    }
}

/// Puts each sequence `margin` ahead of the greatest id in its table, and a million at least ahead of the last that it gave.
/// With a margin of 0 only those that are behind their table, and these by a million. Never puts one back, also beside
/// cores that take ids meanwhile, unless they take as many as the margin. Works inside of a transaction and outside;
/// what it did stays in any case.
pub(in crate::store) async fn lift_sequences(
    connection: &mut PgConnection,
    margin: i64,
) -> Result<Vec<Lifted>, sqlx::Error> {
    let found: Vec<(String, i64, i64)> = sqlx::query_as(FIND).fetch_all(&mut *connection).await?;
    if margin == 0 && found.iter().all(|(_, given, used)| given >= used) {
        return Ok(Vec::new());
    }
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let mut lifted = Vec::new();
    for (sequence, lift) in LIFTS {
        let Some((.., used)) = found.iter().find(|(name, ..)| name == sequence) else { continue };
        let result: Option<(i64, i64)> = sqlx::query_as(lift)
            .bind(used)
            .bind(if margin > 0 { margin } else { ROOM })
            .bind(margin > 0)
            .fetch_optional(&mut *connection)
            .await?;
        lifted.extend(result.map(|(from, to)| Lifted { sequence, from, to }));
    }
    sqlx::query(UNLOCK).execute(connection).await?;
    Ok(lifted)
}
