//! Search over several cores on one database, and where PostgreSQL lacks what it needs.

use netrox_harness::{
    Arrangement, Role, TestChat,
    database::Database,
    engine::PostgresServer,
    eventually,
    process::{self},
    run_test,
};
use netrox_proto::v1::ErrorReason;

use crate::{
    refusal::assert_refused,
    running::{Connection, authorized, connect_to},
    search::say_all,
    search_index::complete_of,
};

/// Sessions that wait for a lock of the messages.
const WAITING: &str =
    "select count(*) from pg_locks where not granted and relation = 'messages'::regclass";

async fn connect(chat: &TestChat, core: usize) -> Connection {
    authorized(connect_to(chat.grpc_address_of(Role::Core(core))).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_core_without_search_stores_is_found_soon_and_what_it_changes_at_once() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Cluster)
            .cores(3)
            .edges(0)
            .set("search", "true")
            .variable(Role::Core(2), "NETROX_CHAT_SEARCH", "false")
            .start()
            .await;
        let (one, two, off) =
            (connect(&chat, 0).await, connect(&chat, 1).await, connect(&chat, 2).await);
        let [ada, bob] = one.users().await;
        let edited = one.send(&ada, &bob, "harbour one").await.expect("stored").message_id;
        let deleted = one.send(&ada, &bob, "harbour two").await.expect("stored").message_id;
        let hidden = one.send(&ada, &bob, "harbour three").await.expect("stored").message_id;
        // By another core, from the answer on.
        assert_eq!(two.found(&bob, "harbour").await, [hidden, deleted, edited]);
        off.edit(&ada, edited, "lighthouse").await.expect("edited");
        off.delete(&ada, deleted, true).await.expect("deleted");
        off.delete(&bob, hidden, false).await.expect("hidden");
        assert!(two.found(&bob, "harbour").await.is_empty());
        let stored = off.send(&bob, &ada, "harbour four").await.expect("stored").message_id;
        eventually("what was stored without search", async || {
            let found = one.found(&ada, "harbour").await;
            (found == [stored, hidden]).then_some(())
        })
        .await;
        eventually("what was edited without search", async || {
            (two.found(&bob, "lighthouse").await == [edited]).then_some(())
        })
        .await;
        assert_refused(off.search_page(&ada, "harbour", 9, "").await, ErrorReason::NotEnabled);
        // Nothing that may not be found has words.
        let words = "select count(*) from message_words where words is not null";
        eventually("the rest of the index", async || (chat.count(words).await == 3).then_some(()))
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cores_index_what_was_there_and_neither_says_too_early_that_all_is() {
    run_test(async {
        const MESSAGES: usize = 800;
        let mut chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
        let before = connect(&chat, 0).await;
        let [ada, bob] = before.users().await;
        let bodies: Vec<_> = (0..MESSAGES).map(|number| format!("beacon {number}")).collect();
        let mut ids = say_all(&before, &ada, &bob, &bodies).await;
        ids.reverse();
        chat.set("search", "true");
        let cores = [Role::Core(0), Role::Core(1)];
        for core in cores {
            chat.restart(core).await;
        }
        for (number, core) in cores.into_iter().enumerate() {
            complete_of(&chat, core).await;
            let words = chat.count("select count(*) from message_words where words is not null");
            assert_eq!(words.await, MESSAGES as i64);
            assert_eq!(connect(&chat, number).await.found(&bob, "beacon").await, ids);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_not_whole_is_made_anew_once_the_messages_can_be_locked() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Cluster)
            .cores(1)
            .edges(0)
            .set("search", "true")
            .start()
            .await;
        let core = connect(&chat, 0).await;
        let [ada, bob] = core.users().await;
        let sent = core.send(&ada, &bob, "compass").await.expect("stored").message_id;
        complete_of(&chat, Role::Core(0)).await;
        chat.kill(Role::Core(0));
        chat.database().execute("drop trigger unindexed_updates on messages").await;
        let mut other = chat.database().connect().await;
        let lock = "begin; update messages set seen = seen";
        sqlx::raw_sql(lock).execute(&mut other).await.expect("locked");
        let lets_go = async {
            // It waits, gives up, says who has the lock, and waits again.
            for waiting in [1, 0, 1] {
                eventually("a start that waits for the lock, or no more", async || {
                    let count = sqlx::query_scalar(WAITING).fetch_one(&mut other).await;
                    let count: i64 = count.expect("a count");
                    (count == waiting).then_some(())
                })
                .await;
            }
            sqlx::raw_sql("rollback").execute(&mut other).await.expect("let go");
        };
        let starts = async {
            chat.spawn(Role::Core(0)).await;
            chat.ready().await;
        };
        tokio::join!(lets_go, starts);
        assert!(chat.log(Role::Core(0)).contains("waiting for a lock on the messages"));
        assert!(chat.log(Role::Core(0)).contains("(client backend)"));
        complete_of(&chat, Role::Core(0)).await;
        assert_eq!(connect(&chat, 0).await.found(&bob, "compass").await, [sent]);
        let triggers = "select count(*) from pg_trigger where tgname like 'unindexed%'";
        assert_eq!(chat.count(triggers).await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_the_extension_is_told_what_to_do() {
    let postgres = PostgresServer::start().await;
    let database = Database::create(postgres.server()).await;
    postgres.execute("create role limited login").await;
    database.execute("grant create on schema public to limited").await;
    let url = database.url().replace("postgres@", "limited@");
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().display().to_string();
    let variables = [
        ("NETROX_CHAT_DATABASE_URL", url.as_str()),
        ("NETROX_CHAT_DATA_DIR", data.as_str()),
        ("NETROX_CHAT_SEARCH", "true"),
        ("NETROX_CHAT_SERVICE_TOKEN", netrox_harness::settings::SERVICE_TOKEN),
        ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0"),
    ];
    let ended = process::run(directory.path(), ["core"], variables).await;
    assert!(!ended.status.success(), "{ended:?}");
    let told = format!("{ended:?}");
    assert!(told.contains("create extension pg_trgm"), "{told}");
    let looked = process::run(directory.path(), ["doctor", "core"], variables).await;
    let told = format!("{looked:?}");
    assert!(!looked.status.success() && told.contains("create extension pg_trgm"), "{told}");

    database.execute("create extension pg_trgm").await;
    let looked = process::run(directory.path(), ["doctor", "core"], variables).await;
    assert!(!format!("{looked:?}").contains("pg_trgm"), "{looked:?}");
}
