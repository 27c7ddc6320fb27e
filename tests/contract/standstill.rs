//! A database server that stands still or is gone: clear refusals soon, and service back when it is.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use netrox_harness::{
    Engine, Role, Store, crowding::crowded, database::Database, engine::PostgresServer, eventually,
    proxy::Proxy, within,
};
use netrox_proto::v1::{ErrorReason, send_messages_response::Result as Answer};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

use crate::{
    in_doubt::load,
    pipeline::Pipeline,
    refusal::{assert_failure, assert_refused},
    running::{Core, text},
    subscribe::Subscription,
};

/// As many histories as a core has connections for.
const READERS: usize = 3;

/// A table that nobody else can use until this is dropped.
struct LockedTable(PgConnection);

impl LockedTable {
    async fn lock(core: &Core, table: &str) -> Self {
        let mut connection = core.process.database().connect().await;
        let lock = format!("begin; lock table {table} in access exclusive mode");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await.expect("locked");
        Self(connection)
    }

    /// Waits until that many sessions wait for a lock.
    async fn awaited_by(&mut self, sessions: usize) {
        const WAITING: &str = "select count(*) from pg_locks where not granted";
        eventually("sessions that wait", async || {
            let waiting: i64 =
                sqlx::query_scalar(WAITING).fetch_one(&mut self.0).await.expect("a count");
            (waiting >= sessions as i64).then_some(())
        })
        .await;
    }
}

pub(crate) async fn health(core: &Core) -> ServingStatus {
    let mut health = HealthClient::new(core.channel().await);
    let answer = health.check(HealthCheckRequest { service: String::new() }).await;
    answer.expect("an answer").into_inner().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_answered_for() {
    let mut postgres = PostgresServer::start().await;
    let builder = Core::builder().engine(Engine::Postgres, postgres.server());
    let core = Core::launch(builder.set("store-wait", "0")).await;
    let [ada, bob] = core.users().await;
    let mut after = 0;
    for round in 0..4 {
        match round {
            0 => postgres.pause(),
            1 => postgres.stop_immediately().await,
            2 => postgres.kill(),
            _ => postgres.pause(),
        }
        // With a reference, so that it can be repeated whatever became of it.
        let mut request = text(&ada, &bob, &round.to_string());
        request.client_ref = Some(Uuid::new_v4().to_string());
        let mut sends = Vec::new();
        for _ in 0..20 {
            let (mut chat, request) = (core.chat(), request.clone());
            sends.push(tokio::spawn(async move { chat.send_message(request).await }));
        }
        for send in sends {
            let status = send.await.expect("a send").expect_err("it cannot be stored");
            // One that hangs may have been asked already.
            let is_unknown = status.code() == tonic::Code::Unknown && matches!(round, 0 | 3);
            assert!(is_unknown || status.code() == tonic::Code::Unavailable, "{status:?}");
        }
        assert_refused(core.history(&bob, &ada).await, ErrorReason::StoreUnavailable);
        assert_refused(core.threads(&bob).await, ErrorReason::StoreUnavailable);
        eventually("bad health", async || {
            (health(&core).await == ServingStatus::NotServing).then_some(())
        })
        .await;

        match round {
            1 | 2 => postgres.start_again().await,
            _ => postgres.resume(),
        }
        let repeated = eventually("a database that answers", async || {
            core.chat().send_message(request.clone()).await.ok()
        })
        .await
        .into_inner();
        eventually("good health", async || {
            (health(&core).await == ServingStatus::Serving).then_some(())
        })
        .await;
        // However often it was tried, it is there once.
        let history = core.history(&bob, &ada).await.expect("a history");
        assert_eq!(history.len(), round + 1);
        assert_eq!(history[round].id, repeated.message_id);
        let mut subscription = Subscription::after(&core, &bob, Some(after)).await;
        let event = subscription.event().await;
        assert_eq!(event.seq, after + 1);
        after = event.seq;
    }
}

/// The host of the database is gone without a word, and another one has its address.
#[tokio::test(flavor = "multi_thread")]
async fn reads_recover_from_a_host_that_is_lost() {
    const LONGEST_RECOVERY: Duration = Duration::from_secs(5);
    let postgres = PostgresServer::start().await;
    let proxy = Proxy::start(postgres.address());
    let builder = Core::builder().engine(Engine::Postgres, postgres.server()).route(
        Role::Core(0),
        Engine::Postgres,
        proxy.address(),
    );
    let core = Core::launch(builder).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "canary").await.expect("stored");

    // First in the middle of a read on each connection, then between two reads.
    for is_reading in [true, false] {
        let mut locked = LockedTable::lock(&core, "messages").await;
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (connection, ada, bob) = (core.connect().await, ada.clone(), bob.clone());
            // One that is refused asks again, so that all of them wait at some time.
            readers.spawn(async move { while connection.history(&bob, &ada).await.is_err() {} });
        }
        locked.awaited_by(READERS).await;
        if is_reading {
            proxy.lose();
            readers.shutdown().await;
            drop(locked);
        } else {
            drop(locked);
            readers.join_all().await;
            proxy.lose();
        }
        let lost_at = Instant::now();
        for _ in 0..READERS {
            eventually("a history", async || core.history(&bob, &ada).await.ok()).await;
        }
        let took = lost_at.elapsed();
        assert!(took < crowded(LONGEST_RECOVERY), "{took:?} until a read, reading: {is_reading}");
        eventually("a send", async || core.send(&ada, &bob, "canary").await.ok()).await;
    }
}

/// While it is away nobody waits for it, and nobody's refusal is a line of its own.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_database_that_is_away_are_refused_at_once() {
    const READS: usize = 160;
    const PROMPT: Duration = Duration::from_millis(1_000);
    let mut postgres = PostgresServer::start().await;
    let builder = Core::builder().engine(Engine::Postgres, postgres.server());
    let core = Core::launch(builder).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "canary").await.expect("stored");
    postgres.kill();
    eventually("bad health", async || {
        (health(&core).await == ServingStatus::NotServing).then_some(())
    })
    .await;
    // The first finds out.
    assert_refused(core.history(&bob, &ada).await, ErrorReason::StoreUnavailable);
    let reads = (0..READS).map(async |_| {
        let begun = Instant::now();
        assert_refused(core.history(&bob, &ada).await, ErrorReason::StoreUnavailable);
        usize::from(begun.elapsed() > crowded(PROMPT))
    });
    let slow: usize = futures_util::future::join_all(reads).await.into_iter().sum();
    // One now and then tries.
    assert!(slow <= 4, "{slow} of {READS} reads waited");
    let lines = core.process.log(Role::Core(0)).count_of("the database is unavailable");
    assert!(lines <= 2, "{lines} lines for {READS} refusals");
    postgres.start_again().await;
    eventually("a history", async || core.history(&bob, &ada).await.ok()).await;
}

/// Somebody else keeps a table locked: the waits of those in the queue do not add up, although the server is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_behind_a_lock_is_refused_in_time() {
    /// Of a body; several dozen fill a batch.
    const BYTES: usize = 64_000;
    /// Some ten batches, each of which would wait for the lock in turn.
    const SENDS: u64 = 450;
    /// On top of what the same takes where nothing is locked, which grows with whatever else the machine does.
    const LONGEST: Duration = Duration::from_secs(6);
    let core = Core::start_with(&[("max-body-bytes", "64000"), ("store-wait", "0")]).await;
    let [ada, bob, cyd] = core.users().await;
    let send_all = async |pipeline: &mut Pipeline, to: &str, sends: u64| {
        let began_at = Instant::now();
        for number in 0..sends {
            pipeline.message(number, text(&ada, to, &"x".repeat(BYTES))).await;
        }
        let mut answers = Vec::new();
        for _ in 0..sends {
            answers.push(pipeline.next().await.1);
        }
        (answers, began_at.elapsed())
    };
    let mut pipeline = Pipeline::open(&core).await;
    // A part of them, which a slow machine stores before they are too old, if not at once.
    let unlocked = eventually("all of them stored", async || {
        let (answers, took) = send_all(&mut pipeline, &cyd, SENDS / 10).await;
        let is_refused = |answer: &Answer| match answer {
            Answer::Message(_) => false,
            Answer::Failure(failure) => {
                assert_failure(failure, ErrorReason::StoreUnavailable, "");
                true
            }
            other => panic!("instead of a stored message: {other:?}"),
        };
        (!answers.iter().any(is_refused)).then_some(took * 10)
    })
    .await;
    let mut locked = LockedTable::lock(&core, "feeds").await;
    let first = {
        let (core, request) = (core.connect().await, text(&ada, &bob, "canary"));
        tokio::spawn(async move { core.chat().send_message(request).await })
    };
    locked.awaited_by(1).await;
    let (answers, took) = send_all(&mut pipeline, &bob, SENDS).await;
    for answer in answers {
        match answer {
            Answer::Failure(failure) => {
                assert_failure(&failure, ErrorReason::StoreUnavailable, "");
            }
            other => panic!("instead of a refusal: {other:?}"),
        }
    }
    eprintln!("stored in {unlocked:?}, refused in {took:?}");
    assert!(
        took < crowded(LONGEST) + unlocked,
        "{took:?} until the last refusal; {unlocked:?} unlocked"
    );
    assert_refused(first.await.expect("a send"), ErrorReason::StoreUnavailable);
    // On a busy machine a statement may take too long before it waits for the lock: then the core asks whether the database
    // is there. A lock by itself is no reason.
    eventually("good health", async || {
        (health(&core).await == ServingStatus::Serving).then_some(())
    })
    .await;
    let lines = core.process.log(Role::Core(0)).lines();
    let takes_it_for_away =
        |line: &&String| line.contains("does not take writes") && line.contains("lock timeout");
    assert_eq!(lines.iter().find(takes_it_for_away), None);
    drop(locked);
    eventually("a send", async || core.send(&ada, &bob, "canary").await.ok()).await;
    assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), 1, "refused and stored");
}

/// The process of the session that writes. It alone shares a lock.
async fn writer_of(database: &Database) -> i32 {
    const WRITER: &str = "
        select pid from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and granted
            and database = (select oid from pg_database where datname = current_database())";
    let mut connection = database.connect().await;
    eventually("one session that writes", async || {
        let writers: Vec<i32> =
            sqlx::query_scalar(WRITER).fetch_all(&mut connection).await.expect("the locks");
        if let [writer] = writers[..] { Some(writer) } else { None }
    })
    .await
}

/// The session that writes has got a batch, and stands still before it reads it. Its senders are told that nobody knows, and
/// go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_not_stored_behind_what_was_sent_since() {
    let mut postgres = PostgresServer::start().await;
    let builder = Core::builder().engine(Engine::Postgres, postgres.server());
    let core = Core::launch(builder.set("store-wait", "0")).await;
    order_is_kept(&mut postgres, &core, core.process.database()).await;
}

/// The same where the role that logs in is given another one, which may not see its own session.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_given_another_one_writes_in_order() {
    let mut postgres = PostgresServer::start().await;
    let database = Database::create(postgres.server()).await;
    let own = format!("alter database {} owner to keeper", database.name());
    let make = ["create role keeper", "create role guest login noinherit in role keeper"];
    for statement in make.into_iter().chain([&*own, "alter role guest set role keeper"]) {
        postgres.execute(statement).await;
    }
    let url = database.url().replace("postgres@", "guest@");
    let builder = Core::builder().store(Store::Sqlite).set("database-url", url);
    let core = Core::launch(builder.set("store-wait", "0")).await;
    order_is_kept(&mut postgres, &core, &database).await;
}

async fn order_is_kept(postgres: &mut PostgresServer, core: &Core, database: &Database) {
    const STEADY: usize = 100;
    /// For the session to get a batch, and not only the question whether it is there.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// In which senders go on, if anything lets them.
    const WHILE: Duration = Duration::from_secs(3);
    let [ada, bob] = core.users().await;
    let mut tales = load(core, &ada, &bob);
    let (mut stored, began_at) = (HashMap::new(), Instant::now());
    let mut next = async || within("an answer", tales.recv()).await.expect("senders");
    loop {
        assert!(began_at.elapsed() < PATIENCE, "no batch was in the middle");
        let enough = stored.len() + STEADY;
        while stored.len() < enough {
            if let (body, Ok(id)) = next().await {
                stored.insert(body, id);
            }
        }
        let writer = writer_of(database).await;
        postgres.pause_session(writer);
        let mut is_refused = false;
        let is_unknown = loop {
            match next().await {
                (body, Ok(id)) => {
                    stored.insert(body, id);
                    if is_refused {
                        break false;
                    }
                }
                (_, Err(status)) if status.code() == Code::Unknown => break true,
                (_, Err(_)) => is_refused = true,
            }
        };
        if is_unknown {
            let until = Instant::now() + WHILE;
            while Instant::now() < until {
                if let (body, Ok(id)) = next().await {
                    stored.insert(body, id);
                    break;
                }
            }
        }
        postgres.resume_session(writer);
        if is_unknown {
            break;
        }
    }
    // The session that stood still has ended, too.
    writer_of(database).await;
    let enough = stored.len() + STEADY;
    while stored.len() < enough {
        if let (body, Ok(id)) = next().await {
            stored.insert(body, id);
        }
    }
    tales.close();
    while let Some((body, answer)) = tales.recv().await {
        if let Ok(id) = answer {
            stored.insert(body, id);
        }
    }
    let history = eventually("a history", async || core.history(&bob, &ada).await.ok()).await;
    let there: HashMap<_, _> = history.iter().map(|one| (one.body.clone(), one.id)).collect();
    assert_eq!(there.len(), history.len(), "doubles");
    for (body, id) in &stored {
        assert_eq!(there.get(body), Some(id), "{body:?} was acknowledged");
    }
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut history = history;
    history.sort_by_key(|message| message.id);
    for message in history {
        let (sender, number) = message.body.split_once(' ').expect("a sender and a number");
        let number = number.parse().expect("a number");
        let before = last.insert(sender.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{sender}: {before:?}, {number}");
    }
}
