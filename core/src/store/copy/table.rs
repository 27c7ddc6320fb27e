//! The tables that are copied: the same columns on both sides, as one type a table.

use std::fmt::Debug;

use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

/// A row of a table, in whose order it is copied.
pub(in crate::store) trait Table: Debug + Sized {
    const NAME: &'static str;
    type Key;

    fn key(&self) -> Self::Key;
    /// Less than every key.
    fn before_all() -> Self::Key;
    /// The greatest key in the target.
    async fn last(target: &mut PgConnection) -> Result<Option<Self::Key>, sqlx::Error>;
    async fn read_sqlite(
        source: &mut SqliteConnection,
        after: &Self::Key,
        limit: i64,
    ) -> Result<Vec<Self>, sqlx::Error>;
    async fn read_postgres(
        target: &mut PgConnection,
        after: &Self::Key,
        limit: i64,
    ) -> Result<Vec<Self>, sqlx::Error>;
    /// As one transaction.
    async fn write(target: &mut PgConnection, rows: Vec<Self>) -> Result<(), sqlx::Error>;
    async fn write_sqlite(
        target: &mut SqliteConnection,
        rows: Vec<Self>,
    ) -> Result<(), sqlx::Error>;
}

macro_rules! table {
    (@insert $name:literal, $engine:ident, $rows:ident, $($column:ident),+) => {{
        let mut insert = QueryBuilder::<$engine>::new(concat!("insert into ", $name, " ("));
        let mut columns = insert.separated(", ");
        $(columns.push(stringify!($column));)+
        insert.push(") ");
        insert.push_values($rows, |mut values, row| {
            $(values.push_bind(row.$column);)+
        });
        insert
    }};
    ($row:ident, $name:literal, after: $($rest:tt)+) => {
        table! { $row, $name, source: $name, after: $($rest)+ }
    };
    (
        $row:ident, $name:literal, source: $source:literal,
        after: $after:literal, order: $order:literal, limit: $limit:literal, last: $last:literal,
        key: { $($key:ident: $key_type:ty = $least:expr),+ },
        { $($column:ident: $type:ty),+ $(,)? }
    ) => {
        #[derive(Debug, FromRow)]
        pub(in crate::store) struct $row {
            $(pub(in crate::store) $column: $type),+
        }

        impl $row {
            const READ_SOURCE: &str = concat!(
                "select ", $(stringify!($column), ", ",)+ "1 from ", $source,
                " where ", $after, " order by ", $order, " limit ", $limit
            );
            const READ_TARGET: &str = concat!(
                "select ", $(stringify!($column), ", ",)+ "1 from ", $name,
                " where ", $after, " order by ", $order, " limit ", $limit
            );
        }

        impl Table for $row {
            const NAME: &'static str = $name;
            type Key = ($($key_type,)+);

            fn key(&self) -> Self::Key {
                ($(self.$key.clone(),)+)
            }

            fn before_all() -> Self::Key {
                ($($least,)+)
            }

            async fn last(target: &mut PgConnection) -> Result<Option<Self::Key>, sqlx::Error> {
                sqlx::query_as(concat!(
                    "select ", $(stringify!($key), ", ",)+ "1 from ", $name, " order by ", $last,
                    " limit 1"
                ))
                .fetch_optional(target)
                .await
            }

            async fn read_sqlite(
                source: &mut SqliteConnection,
                after: &Self::Key,
                limit: i64,
            ) -> Result<Vec<Self>, sqlx::Error> {
                let ($($key,)+) = after;
                let query = sqlx::query_as(Self::READ_SOURCE);
                query$(.bind($key))+.bind(limit).fetch_all(source).await
            }

            async fn read_postgres(
                target: &mut PgConnection,
                after: &Self::Key,
                limit: i64,
            ) -> Result<Vec<Self>, sqlx::Error> {
                let ($($key,)+) = after;
                let query = sqlx::query_as(Self::READ_TARGET);
                query$(.bind($key))+.bind(limit).fetch_all(target).await
            }

            async fn write(
                target: &mut PgConnection,
                rows: Vec<Self>,
            ) -> Result<(), sqlx::Error> {
                let mut insert = table!(@insert $name, Postgres, rows, $($column),+);
                insert.build().execute(target).await.map(drop)
            }

            async fn write_sqlite(
                target: &mut SqliteConnection,
                rows: Vec<Self>,
            ) -> Result<(), sqlx::Error> {
                let mut insert = table!(@insert $name, Sqlite, rows, $($column),+);
                insert.build().execute(target).await.map(drop)
            }
        }
    };
}

table! {
    User, "users",
    after: "key > $1", order: "key", limit: "$2", last: "key desc",
    key: { key: i64 = 0 },
    {
        key: i64,
        id: Uuid,
        email: String,
        profile: Option<String>,
        deleted: bool,
        updated: i64,
        claims_issued: Option<i64>,
        upserted: Option<i64>,
    }
}

table! {
    ExternalId, "external_ids",
    after: "user_key > $1", order: "user_key", limit: "$2", last: "user_key desc",
    key: { user_key: i64 = 0 },
    {
        user_key: i64,
        issuer: String,
        subject: String,
    }
}

// SQLite begins a feed with its first change, PostgreSQL with its user.
table! {
    Feed, "feeds",
    source: "(select u.key as user_key, coalesce(f.last_seq, 0) as last_seq,
            coalesce(f.start, 0) as start,
            case when exists (select 1 from blocks b where b.blocker = u.key) then true end as has_blocks
        from users u left join feeds f on f.user_key = u.key) as feeds",
    after: "user_key > $1", order: "user_key", limit: "$2", last: "user_key desc",
    key: { user_key: i64 = 0 },
    {
        user_key: i64,
        last_seq: i64,
        start: i64,
        has_blocks: Option<bool>,
    }
}

// They began on no server.
table! {
    Start, "starts",
    source: "(select start, began, 0 as system_identifier, 0 as timeline, 0 as server_started,
            0 as database
        from starts) as starts",
    after: "start > $1", order: "start", limit: "$2", last: "start desc",
    key: { start: i64 = 0 },
    {
        start: i64,
        began: i64,
        system_identifier: i64,
        timeline: i64,
        server_started: i64,
        database: i64,
    }
}

table! {
    FeedStart, "feed_starts",
    after: "(user_key, start) > ($1, $2)", order: "user_key, start", limit: "$3",
    last: "user_key desc, start desc",
    key: { user_key: i64 = 0, start: i64 = 0 },
    {
        user_key: i64,
        start: i64,
        last_seq: i64,
    }
}

table! {
    Thread, "threads",
    after: "id > $1", order: "id", limit: "$2", last: "id desc",
    key: { id: i64 = 0 },
    {
        id: i64,
        low_key: i64,
        high_key: i64,
        user_one: i64,
        created: i64,
        last_activity: i64,
        last_message: Option<i64>,
        last_message_at: Option<i64>,
        low_sent: Option<i64>,
        low_shown: Option<i64>,
        high_sent: Option<i64>,
        high_shown: Option<i64>,
        low_swallowed: Option<i64>,
        high_swallowed: Option<i64>,
        late_created: Option<i64>,
        late_one: Option<i64>,
    }
}

impl Message {
    /// Those with ids above $1, up to $2.
    pub(in crate::store) const READ_BETWEEN: &str = "\
        select thread_id, id, sender, receiver, body, created, updated, seen, deleted, sender_seq,
            receiver_seq, sender_first_seq, receiver_first_seq, client_ref, attachment_path,
            attachment_name, attachment_size, attachment_type, dispatched, reply_to, meta,
            hidden_for_sender, hidden_for_receiver, ref_from_client, continues, receiver_sees, removed
        from messages where id > $1 and id <= $2 order by id";
}

impl Thread {
    /// The newest message, swallowed ones included; 0 where there is none.
    pub(in crate::store) fn newest(&self) -> i64 {
        let ends = [self.last_message, self.low_swallowed, self.high_swallowed];
        ends.into_iter().flatten().max().unwrap_or_default()
    }
}

table! {
    Message, "messages",
    after: "(thread_id, id) > ($1, $2)", order: "thread_id, id", limit: "$3", last: "thread_id desc, id desc",
    key: { thread_id: i64 = 0, id: i64 = 0 },
    {
        thread_id: i64,
        id: i64,
        sender: i64,
        receiver: i64,
        body: String,
        created: i64,
        updated: i64,
        seen: bool,
        deleted: bool,
        sender_seq: i64,
        receiver_seq: Option<i64>,
        sender_first_seq: Option<i64>,
        receiver_first_seq: Option<i64>,
        client_ref: Option<Uuid>,
        attachment_path: Option<String>,
        attachment_name: Option<String>,
        attachment_size: Option<i64>,
        attachment_type: Option<String>,
        dispatched: Option<i64>,
        reply_to: Option<i64>,
        meta: Option<String>,
        hidden_for_sender: Option<bool>,
        hidden_for_receiver: Option<bool>,
        ref_from_client: Option<bool>,
        continues: Option<bool>,
        receiver_sees: Option<String>,
        removed: Option<bool>,
    }
}

table! {
    ThreadState, "thread_states",
    after: "(user_key, thread_id) > ($1, $2)", order: "user_key, thread_id", limit: "$3",
    last: "user_key desc, thread_id desc",
    key: { user_key: i64 = 0, thread_id: i64 = 0 },
    {
        user_key: i64,
        thread_id: i64,
        seen_id: i64,
        delivered_id: i64,
        seq: Option<i64>,
        shown_seen_id: Option<i64>,
        shown_delivered_id: Option<i64>,
    }
}

table! {
    Block, "blocks",
    after: "(blocker, blocked) > ($1, $2)", order: "blocker, blocked", limit: "$3",
    last: "blocker desc, blocked desc",
    key: { blocker: i64 = 0, blocked: i64 = 0 },
    {
        blocker: i64,
        blocked: i64,
        created: i64,
    }
}

table! {
    HiddenUser, "hidden_users",
    after: "user_key > $1", order: "user_key", limit: "$2", last: "user_key desc",
    key: { user_key: i64 = 0 },
    {
        user_key: i64,
        hidden: bool,
    }
}

table! {
    LastSeen, "last_seen",
    after: "user_key > $1", order: "user_key", limit: "$2", last: "user_key desc",
    key: { user_key: i64 = 0 },
    {
        user_key: i64,
        minute: i64,
    }
}

table! {
    SentForm, "sent_forms",
    after: "(boundary, content) > ($1, $2)", order: "boundary, content", limit: "$3",
    last: "boundary desc, content desc",
    key: { boundary: Vec<u8> = Vec::new(), content: Vec<u8> = Vec::new() },
    {
        boundary: Vec<u8>,
        content: Vec<u8>,
        message_id: Option<i64>,
        sent: i64,
    }
}

// Begun long ago: the cores that share the database remove these files.
table! {
    Upload, "uploads",
    after: "path > $1", order: "path", limit: "$2", last: "path desc",
    key: { path: String = String::new() },
    {
        path: String,
        begun: i64,
        start: i64,
        erased: Option<bool>,
    }
}

table! {
    Erasure, "erasures",
    after: "user_key > $1", order: "user_key", limit: "$2", last: "user_key desc",
    key: { user_key: i64 = 0 },
    {
        user_key: i64,
        begun: i64,
        through_id: i64,
        bounded: bool,
        next_seq: i64,
    }
}

// What the files of users take, of those of whom that was asked for: copying messages counts nothing.
table! {
    UserStorage, "user_storage",
    after: "user_key > $1", order: "user_key", limit: "$2", last: "user_key desc",
    key: { user_key: i64 = 0 },
    {
        user_key: i64,
        bytes: i64,
    }
}

// Questions to edges too, which are over.
table! {
    Notice, "session_notices",
    after: "version > $1", order: "version", limit: "$2", last: "version desc",
    key: { version: i64 = 0 },
    {
        version: i64,
        kind: i64,
        key: Vec<u8>,
        cutoff: i64,
        expires: Option<i64>,
    }
}
