use netrox_proto::ids::{ClientRef, UserId};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

use super::{begin, cache::Cache, commit, load, write::store_refusals};
use crate::store::{
    Expected,
    batch::{
        ActivityRow, BatchData, BatchQuery, NewMessageRow, NewThreadRow, REFUSAL_KEPT, RefusalRow,
        Rows, ThreadState,
    },
    history::sqlite::Memory,
    sqlite,
    user::UserKey,
};

const ADA: UserId = UserId(Uuid::from_u128(1));
const BOB: UserId = UserId(Uuid::from_u128(2));

/// A database with two users, its writer, and another program's connection to it.
struct World {
    _directory: TempDir,
    connection: SqliteConnection,
    cache: Cache,
    memory: Memory,
    foreign: SqliteConnection,
}

impl World {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("chat.db");
        let prepared = sqlite::prepare(&path, Expected::Nothing, false).await;
        let mut connection = prepared.expect("a database").connection;
        let memory = Memory::open(&mut connection).await.expect("a history");
        let options = SqliteConnectOptions::new().filename(&path);
        let foreign = SqliteConnection::connect_with(&options).await.expect("open");
        let cache = Cache::default();
        let mut world = Self { _directory: directory, connection, cache, memory, foreign };
        for user in [ADA, BOB] {
            let id = user.0.as_simple();
            let insert = "insert into users (id, email, updated) values (unhex('";
            world.interfere(&format!("{insert}{id}'), '', 0)")).await;
        }
        world
    }

    /// What another program writes.
    async fn interfere(&mut self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query(sql).execute(&mut self.foreign).await.expect("written");
    }

    async fn load(&mut self) -> BatchData {
        let wanted = BatchQuery {
            users: vec![ADA, BOB],
            pairs: vec![(ADA, BOB)],
            new_messages: 1,
            ..BatchQuery::default()
        };
        load(&mut self.connection, wanted, &mut self.cache).await.expect("loaded")
    }

    /// A message of Ada's; gives its id.
    async fn send(&mut self) -> i64 {
        begin(&mut self.connection, &mut self.cache, &mut self.memory).await.expect("begun");
        let mut loaded = self.load().await;
        let (mut ada, mut bob) = (loaded.users[&ADA], loaded.users[&BOB]);
        ada.last_seq += 1;
        bob.last_seq += 1;
        let pair @ (low_key, high_key) = (ada.key, bob.key);
        let known = loaded.threads.get(&pair).copied();
        let mut thread = known.unwrap_or_else(|| {
            ThreadState::new(loaded.thread_ids.next().expect("an id"), pair, ada.key, 0)
        });
        let id = loaded.message_ids.next().expect("an id");
        thread.sent(ada.key, id, true);
        let activities = vec![ActivityRow { thread, last_message: id }];
        let mut rows = Rows { feeds: vec![ada, bob], activities, ..Rows::default() };
        if known.is_none() {
            let row =
                NewThreadRow { id: thread.id, low_key, high_key, user_one: low_key, created: 0 };
            rows.threads.push(row);
        }
        rows.messages.push(NewMessageRow {
            thread_id: thread.id,
            id,
            sender: ada.key,
            receiver: bob.key,
            body: 0..0,
            created: 0,
            sender_seq: ada.last_seq.cast_unsigned(),
            receiver_seq: Some(bob.last_seq.cast_unsigned()),
            client_ref: None,
            ref_from_client: false,
            reply_to: None,
            meta: None,
            continues: false,
            attachment: None,
            dispatched: None,
        });
        commit(&mut self.connection, &rows, &mut self.cache).await.expect("stored");
        self.memory.committed(Some(id));
        id
    }

    /// Whether the next transaction has to read the users again.
    async fn has_forgotten(&mut self) -> bool {
        begin(&mut self.connection, &mut self.cache, &mut self.memory).await.expect("begun");
        let forgotten = !self.cache.users(&[ADA, BOB]).1.is_empty();
        commit(&mut self.connection, &Rows::default(), &mut self.cache).await.expect("committed");
        self.memory.committed(None);
        forgotten
    }
}

#[tokio::test]
async fn what_was_written_here_is_not_read_again() {
    let mut world = World::open().await;
    assert!(world.has_forgotten().await, "nothing was read yet");
    assert_eq!([world.send().await, world.send().await, world.send().await], [1, 2, 3]);
    assert!(!world.has_forgotten().await);
    // All that is known is what is read anew.
    let known = world.load().await;
    world.cache = Cache::default();
    begin(&mut world.connection, &mut world.cache, &mut world.memory).await.expect("begun");
    let read = world.load().await;
    assert_eq!((&known.users, &known.threads), (&read.users, &read.threads));
    assert_eq!(read.users[&BOB].last_seq, 3);
    assert_eq!(known.message_ids.as_slice(), [4]);
    assert_eq!(known.message_ids.as_slice(), read.message_ids.as_slice());
}

#[tokio::test]
async fn a_refusal_is_kept_for_an_hour() {
    let mut world = World::open().await;
    let hours = |count: i64| count * REFUSAL_KEPT;
    let refusal = |number, refused| {
        let client_ref = ClientRef(Uuid::from_u128(number));
        RefusalRow { sender: UserKey(1), client_ref, refused }
    };
    let mut refuse = async |number, refused| {
        begin(&mut world.connection, &mut world.cache, &mut world.memory).await.expect("begun");
        // Twice, as two cores may.
        for _ in 0..2 {
            let refusals = [refusal(number, refused)];
            store_refusals(&mut world.connection, &refusals).await.expect("stored");
        }
        commit(&mut world.connection, &Rows::default(), &mut world.cache).await.expect("stored");
        let wanted = BatchQuery {
            users: vec![ADA],
            client_refs: (1..=3).map(|it| (ADA, ClientRef(Uuid::from_u128(it)))).collect(),
            ..BatchQuery::default()
        };
        begin(&mut world.connection, &mut world.cache, &mut world.memory).await.expect("begun");
        let loaded = load(&mut world.connection, wanted, &mut world.cache).await.expect("loaded");
        commit(&mut world.connection, &Rows::default(), &mut world.cache).await.expect("stored");
        let mut refused: Vec<_> =
            loaded.refused.into_iter().map(|(_, client_ref)| client_ref.0.as_u128()).collect();
        refused.sort_unstable();
        refused
    };
    assert_eq!(refuse(1, hours(5)).await, [1]);
    assert_eq!(refuse(2, hours(6)).await, [1, 2]);
    assert_eq!(refuse(3, hours(6) + 1).await, [2, 3]);
}

/// What a core that has only read so far told its callers is good until somebody else changes it.
#[tokio::test]
async fn the_first_write_notes_a_start_and_tells_of_it_only_where_another_interfered() {
    async fn reopened(interference: Option<&str>) -> bool {
        let mut world = World::open().await;
        world.send().await;
        world.send().await;
        let starts = "select count(*) from starts";
        let first: i64 = sqlx::query_scalar(starts).fetch_one(&mut world.foreign).await.unwrap();
        world.memory = Memory::open(&mut world.connection).await.expect("a history");
        world.cache = Cache::default();
        let opened: i64 = sqlx::query_scalar(starts).fetch_one(&mut world.foreign).await.unwrap();
        assert_eq!((first, opened), (1, 1));
        if let Some(sql) = interference {
            world.interfere(sql).await;
        }
        world.send().await;
        assert_ne!(world.memory.history().start(), Default::default());
        world.memory.take_another()
    }
    assert!(!reopened(None).await);
    assert!(!reopened(Some("update users set email = 'a'")).await);
    let renewed = "insert into starts (start, began) select max(start) + 1, 0 from starts";
    assert!(reopened(Some(renewed)).await);
    assert!(reopened(Some("delete from messages where id = 2")).await);
}

#[tokio::test]
async fn a_write_back_of_the_log_changes_nothing() {
    let mut world = World::open().await;
    world.send().await;
    let checkpoint = "pragma wal_checkpoint(truncate)";
    sqlx::query(checkpoint).execute(&mut world.connection).await.expect("written back");
    assert!(!world.has_forgotten().await);
}

#[tokio::test]
async fn what_another_program_writes_is_seen() {
    let mut world = World::open().await;
    world.send().await;
    world.interfere("update users set deleted = true").await;
    assert!(world.has_forgotten().await);
    begin(&mut world.connection, &mut world.cache, &mut world.memory).await.expect("begun");
    assert!(world.load().await.users[&ADA].deleted);
    commit(&mut world.connection, &Rows::default(), &mut world.cache).await.expect("committed");
    world.memory.committed(None);

    world.interfere("update messages set id = 100, sender_seq = 50").await;
    world.interfere("update feeds set last_seq = 50").await;
    assert_eq!(world.send().await, 101);
    assert_eq!(world.cache.users(&[BOB]).0[&BOB].last_seq, 51);
    // What was removed has had its id all the same, and clients may have seen more.
    let start = world.memory.history().start();
    world.interfere("delete from messages").await;
    assert!(world.send().await > 101 + 1_000_000);
    assert!(world.memory.history().start() > start, "it may be an older copy");
}
