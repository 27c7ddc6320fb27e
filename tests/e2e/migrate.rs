//! `netrox-chat migrate`: from a SQLite database to PostgreSQL.

use netrox_harness::{
    Arrangement, Role, TestChat, User,
    database::Database,
    eventually,
    multipart::{Form, certain},
    process::{self, Ended},
    run_test,
};
use netrox_proto::v1::{ExternalId, GetUsersRequest, UpsertUsersRequest, UserChange};
use serde_json::Value;
use sqlx::Connection as _;

const ISSUER: &str = "https://tenant.auth0.com/";
const SUBJECT: &str = "auth0|später";
const FILE: &[u8] = b"bytes of a file";

/// A machine whose users have written to each other, stopped, and a database to move to.
struct Move {
    old: TestChat,
    users: [User; 3],
    /// Nothing has happened to them: one has logged in, one is the receiver of a file that was never sent.
    quiet: [User; 2],
    unsent_file: Value,
    histories: Vec<Value>,
    /// Of the second user to the third, as a library sends it.
    form: Form,
    target: Database,
}

impl Move {
    async fn prepare() -> Self {
        let builder = TestChat::builder(Arrangement::Serve);
        let mut old = builder.set("max-storage-per-user", "1000").start().await;
        let (ada, mut ada_socket) = old.join("ada").await;
        let (bob, mut bob_socket) = old.join("bob").await;
        let (cyd, mut cyd_socket) = old.join("cyd").await;
        for text in ["plain", "später, 🙂", "'; drop table messages; --"] {
            ada_socket.say(&bob, text).await;
            bob_socket.expect_body(text).await;
            cyd_socket.say(&ada, text).await;
            ada_socket.expect_body(text).await;
        }
        let external_id = ExternalId { issuer: ISSUER.to_owned(), subject: SUBJECT.to_owned() };
        let (id, external_id) = (ada.id.clone(), Some(external_id));
        let users = vec![UserChange { id, external_id, ..Default::default() }];
        old.directory_service().upsert_users(UpsertUsersRequest { users }).await.expect("stored");
        let form = form(&cyd);
        let uploaded = certain(async || old.upload(&bob, form.clone()).await).await;
        assert_eq!(uploaded.status, 201, "{uploaded:?}");
        let quiet = [old.user("dee").await, old.user("eve").await];
        let unsent_file = old.upload_file(&ada, &quiet[1], "unsent.bin", FILE).await;
        let users = [ada, bob, cyd];
        let histories = histories(&old, &users).await;
        assert!(old.terminate(Role::Serve).await.success());
        let target = Database::create_on_shared().await;
        Self { old, users, quiet, unsent_file, histories, form, target }
    }

    fn source(&self) -> String {
        format!("sqlite://{}", self.old.data_dir().join("chat.db").display())
    }

    async fn run(&self) -> Ended {
        migrate(&self.old, &self.source(), &self.target.url()).await
    }

    /// A new machine on the copy, with the media where they are.
    async fn start(&self) -> TestChat {
        let media = self.old.data_dir().join("media");
        TestChat::builder(Arrangement::Serve)
            .set("database-url", self.target.url())
            .set("media-url", format!("file://{}", media.display()))
            .start()
            .await
    }

    async fn execute(&self, statement: &'static str) {
        let mut connection = self.target.connect().await;
        sqlx::query(statement).execute(&mut connection).await.expect(statement);
    }
}

fn form(receiver: &User) -> Form {
    Form::with_boundary("----FormBoundary7d81a1c1-95d3-4c1e-a2a3")
        .text("receiver", &receiver.id)
        .text("message", "see this")
        .file("a.bin", FILE)
}

async fn migrate(chat: &TestChat, from: &str, to: &str) -> Ended {
    let variables = [("NETROX_CHAT_FROM", from), ("NETROX_CHAT_TO", to)];
    process::run(chat.directory(), ["migrate"], variables).await
}

#[tokio::test]
async fn the_copy_goes_into_the_schema_that_is_named() {
    run_test(async {
        let moving = Move::prepare().await;
        moving.execute("create schema chat").await;
        let (source, target) = (moving.source(), moving.target.url());
        let variables = [
            ("NETROX_CHAT_FROM", source.as_str()),
            ("NETROX_CHAT_TO", target.as_str()),
            ("NETROX_CHAT_DATABASE_SCHEMA", "chat"),
        ];
        let ended = process::run(moving.old.directory(), ["migrate"], variables).await;
        assert!(ended.status.success(), "{ended:?}");
        let count = "select count(*) from chat.messages";
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut moving.target.connect().await)
            .await
            .expect("a count");
        assert_eq!(count, 8);
        // A core finds it there by itself.
        let new = moving.start().await;
        assert_eq!(histories(&new, &moving.users).await, moving.histories);
    })
    .await;
}

/// Every conversation as each of its participants sees it, and every thread list.
async fn histories(chat: &TestChat, users: &[User]) -> Vec<Value> {
    let mut all = Vec::new();
    for reader in users {
        let threads = chat.get("/chat/get-user-threads/").bearer(&reader.token).send().await;
        assert_eq!(threads.status, 200, "{threads:?}");
        all.push(threads.json());
        for peer in users.iter().filter(|peer| peer.id != reader.id) {
            all.push(chat.history(reader, peer).await.into());
        }
    }
    all
}

#[track_caller]
fn assert_refused(ended: &Ended, flag: &str, reason: &str) {
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains(flag) && ended.stderr.contains(reason), "{ended:?}");
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn all_of_it_is_there_and_goes_on() {
    run_test(async {
        let moving = Move::prepare().await;
        let ended = moving.run().await;
        assert!(ended.status.success(), "{ended:?}");
        for (table, rows) in
            [("users", 5), ("external_ids", 1), ("feeds", 5), ("threads", 4), ("messages", 8), ("user_storage", 2)]
        {
            let line = ended.stdout.lines().find(|line| line.starts_with(table));
            let words: Vec<_> = line.expect(table).split_whitespace().collect();
            assert_eq!((words[1], words[2]), (rows.to_string().as_str(), "rows"), "{ended:?}");
        }

        let new = moving.start().await;
        assert_eq!(histories(&new, &moving.users).await, moving.histories);
        let [ada, bob, cyd] = &moving.users;
        let file = new.history(cyd, bob).await;
        let path = file[0]["attached_file"].as_str().expect("a path");
        assert_eq!(new.get(path).send().await.body, FILE);
        // What a library sends again was sent to the old machine.
        let again = new.upload(bob, moving.form.clone()).await;
        assert_eq!(again.json()["entity"]["message"]["id"], file[0]["id"]);
        // What files took is what they take, here without a limit.
        new.upload_file(bob, ada, "new.bin", FILE).await;
        let counted = "select (select bytes from user_storage s where s.user_key = m.sender) = sum(attachment_size)
            from messages m where attachment_path is not null group by sender";
        let counted: Vec<bool> = sqlx::query_scalar(counted)
            .fetch_all(&mut moving.target.connect().await)
            .await
            .expect("sums");
        assert_eq!(counted, [true, true]);
        // What is new comes after what is old, in the conversation and in the feeds.
        let mut ada_socket = new.connect(ada).await;
        let mut bob_socket = new.connect(bob).await;
        ada_socket.say(bob, "after the move").await;
        bob_socket.expect_body("after the move").await;
        let history = new.history(bob, ada).await;
        assert_eq!(history.len(), 5);
        assert_eq!(history[4]["message"], "after the move");
        assert!(history[4]["id"].as_i64() > history[2]["id"].as_i64());
        let (fay, mut fay_socket) = new.join("fay").await;
        ada_socket.say(&fay, "welcome").await;
        fay_socket.expect_body("welcome").await;

        // So does what an issuer calls a user.
        let external_ids = vec![ExternalId { issuer: ISSUER.into(), subject: SUBJECT.into() }];
        let request = GetUsersRequest { external_ids, ..Default::default() };
        let found = new.directory_service().get_users(request).await.expect("an answer");
        assert_eq!(found.into_inner().users[0].id, ada.id);

        // The sequences go on where the ids of the copy end.
        assert!(!new.log(Role::Serve).contains("a sequence was behind"));

        // The copy is found where it is, whatever schema comes first now.
        moving.execute("create schema postgres").await;
        let again = moving.run().await;
        assert!(again.status.success(), "{again:?}");
        assert!(again.stdout.contains("already"), "{again:?}");
        assert_eq!(new.history(bob, ada).await, history);
    })
    .await;
}

#[tokio::test]
async fn users_to_whom_nothing_had_happened_write_and_are_written_to() {
    run_test(async {
        let moving = Move::prepare().await;
        assert!(moving.run().await.status.success());
        quiet_users_take_part(&moving).await;
    })
    .await;
}

#[tokio::test]
async fn users_without_a_feed_in_an_earlier_copy_get_one() {
    run_test(async {
        let moving = Move::prepare().await;
        assert!(moving.run().await.status.success());
        moving.execute("delete from feeds where last_seq = 0").await;
        moving.execute("delete from _sqlx_migrations where version = 2").await;
        quiet_users_take_part(&moving).await;
    })
    .await;
}

async fn quiet_users_take_part(moving: &Move) {
    let new = moving.start().await;
    let ([ada, ..], [dee, eve]) = (&moving.users, &moving.quiet);
    let mut ada_socket = new.connect(ada).await;
    let mut dee_socket = new.connect(dee).await;
    let mut eve_socket = new.connect(eve).await;
    ada_socket.dispatch(moving.unsent_file["id"].clone()).await;
    assert_eq!(eve_socket.next().await["created_msg_id"], moving.unsent_file["id"]);
    ada_socket.say(dee, "to dee").await;
    dee_socket.expect_body("to dee").await;
    dee_socket.say(eve, "from dee").await;
    eve_socket.expect_body("from dee").await;
    eve_socket.say(dee, "from eve").await;
    dee_socket.expect_body("from eve").await;
    let file = new.upload_file(dee, eve, "a.bin", FILE).await;
    dee_socket.dispatch(file["id"].clone()).await;
    assert_eq!(eve_socket.next().await["created_msg_id"], file["id"]);
}

#[tokio::test]
async fn one_that_was_cut_off_is_not_served_and_goes_on() {
    run_test(async {
        let moving = Move::prepare().await;
        assert!(moving.run().await.status.success());
        moving.execute("update copy set finished = false").await;
        moving
            .execute("delete from messages where thread_id = (select max(id) from threads)")
            .await;
        // It comes after the messages, and would have followed their removal.
        moving.execute("delete from user_storage").await;
        let variables = [("NETROX_CHAT_DATABASE_URL", moving.target.url())];
        let ended = process::run(moving.old.directory(), ["core"], variables).await;
        assert_refused(&ended, "NETROX_CHAT_DATABASE_URL", "run netrox-chat migrate again");

        let ended = moving.run().await;
        assert!(ended.status.success(), "{ended:?}");
        let new = moving.start().await;
        assert_eq!(histories(&new, &moving.users).await, moving.histories);
    })
    .await;
}

#[tokio::test]
async fn a_source_that_went_on_is_not_taken_for_copied() {
    run_test(async {
        let mut moving = Move::prepare().await;
        assert!(moving.run().await.status.success());
        // It was started again, and nothing happened.
        moving.old.spawn(Role::Serve).await;
        moving.old.terminate(Role::Serve).await;
        let again = moving.run().await;
        assert!(
            again.status.success() && again.stdout.contains("nothing was changed"),
            "{again:?}"
        );

        let new = moving.start().await;
        let [ada, bob, _] = &moving.users;
        moving.old.spawn(Role::Serve).await;
        for chat in [&new, &moving.old] {
            let mut bob_socket = chat.connect(bob).await;
            // Not dropped before it is there: of a client that is gone, what has not been read may be lost.
            let mut ada_socket = chat.connect(ada).await;
            ada_socket.say(bob, "after the copy").await;
            bob_socket.expect_body("after the copy").await;
        }
        moving.old.terminate(Role::Serve).await;
        let again = moving.run().await;
        assert_refused(&again, "NETROX_CHAT_TO", "the source has changed since");
        assert!(again.stderr.contains("give an empty database"), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn a_core_and_a_copy_keep_off_each_other() {
    run_test(async {
        let moving = Move::prepare().await;
        let mut new = moving.start().await;
        assert_refused(&moving.run().await, "NETROX_CHAT_TO", "a core uses it");

        // A copy that began while the core had no connection, and was cut off.
        moving.execute("insert into copy (source) values (gen_random_uuid())").await;
        let end_sessions = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        moving.execute(end_sessions).await;
        let gil = new.stranger("gil");
        let status =
            async || new.get("/chat/get-user-threads/").bearer(&gil.token).send().await.status;
        assert_eq!(status().await, 503);
        // One that is at work.
        let mut copying = moving.target.connect().await;
        let lock = sqlx::query("select pg_advisory_lock(hashtext('netrox-chat cores'))");
        lock.execute(&mut copying).await.expect("the lock");
        moving.execute("delete from copy").await;
        assert_eq!(status().await, 503);
        drop(copying);
        eventually("a core that writes", async || (status().await == 200).then_some(())).await;

        assert!(new.terminate(Role::Serve).await.success());
        moving.execute("delete from feed_starts").await;
        moving.execute("delete from feeds").await;
        moving.execute("delete from users").await;
        assert!(moving.run().await.status.success());
    })
    .await;
}

#[tokio::test]
async fn a_difference_is_found() {
    run_test(async {
        let moving = Move::prepare().await;
        assert!(moving.run().await.status.success());
        moving.execute("update copy set finished = false").await;
        moving.execute("update messages set body = 'canary' where id = 1").await;
        let ended = moving.run().await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("table messages differs"), "{ended:?}");
        assert!(!ended.stderr.contains("canary"));
    })
    .await;
}

#[tokio::test]
async fn what_must_not_be_copied_is_refused() {
    run_test(async {
        let moving = Move::prepare().await;
        let missing = migrate(&moving.old, "sqlite://missing.db", &moving.target.url()).await;
        assert_refused(&missing, "NETROX_CHAT_FROM", "no such file");
        assert!(!moving.old.directory().join("missing.db").exists());
        let place = moving.old.directory();
        std::fs::write(place.join("empty.db"), "").expect("an empty file");
        let empty = migrate(&moving.old, "sqlite://empty.db", &moving.target.url()).await;
        assert_refused(&empty, "NETROX_CHAT_FROM", "empty.db: an empty file");
        assert!(!place.join("empty.db.lock").exists());
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.join("other.db"));
        let options = options.create_if_missing(true);
        let mut other = sqlx::SqliteConnection::connect_with(&options).await.expect("a database");
        sqlx::query("create table other (id integer)").execute(&mut other).await.expect("a table");
        let foreign = migrate(&moving.old, "sqlite://other.db", &moving.target.url()).await;
        assert_refused(&foreign, "NETROX_CHAT_FROM", "no table of netrox-chat");
        let tables = sqlx::query_scalar("select count(*) from sqlite_schema where type = 'table'");
        assert_eq!(tables.fetch_one(&mut other).await.ok(), Some(1_i64));
        let gone = "postgres://nobody:secret-word@127.0.0.1:1/nowhere";
        let gone = migrate(&moving.old, &moving.source(), gone).await;
        assert_refused(&gone, "NETROX_CHAT_TO", "127.0.0.1:1");
        assert!(!gone.stderr.contains("secret-word"));

        // One that has users of its own.
        let other = moving.start().await;
        other.user("dee").await;
        assert_refused(&moving.run().await, "NETROX_CHAT_TO", "data that did not come from");
        // One that is served.
        let busy = TestChat::start(Arrangement::Serve).await;
        let source = format!("sqlite://{}", busy.data_dir().join("chat.db").display());
        let ended = migrate(&busy, &source, &moving.target.url()).await;
        assert_refused(&ended, "NETROX_CHAT_FROM", "another process");
    })
    .await;
}
