//! Sends wait for a database or core that is away: none is refused, each is stored once, in the order sent; and what
//! has waited for as long as it may is refused then (ARCHITECTURE.md, G7; PROTOCOL section 5, `--store-wait`).

mod chaos;
mod haste;
mod load;
mod switch;

use std::time::{Duration, Instant};

use netrox_harness::{
    Arrangement, Engine, Role, Socket, TestChat,
    alarms::Before,
    crowding::crowded,
    each,
    engine::PostgresServer,
    eventually,
    process::Signal,
    proxy::{Network, Proxy},
    run_test,
    socket::chat_message,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::sleep;

use self::load::{Load, Scale, is_full, verify_unrefused};

each![
    what_waits_when_the_process_ends_is_told_before_the_close;
    sqlite: sends_wait_for_a_database_that_another_holds;
    split: sends_wait_for_a_core_that_starts_again
];

/// What is between a message and its refusal is this exact.
const EXACT: Duration = Duration::from_millis(500);
/// For a debug build on an idle machine.
const SLACK: Duration = Duration::from_millis(700);

/// Traffic before and after, and what it was told.
async fn unrefused(chat: &TestChat, load: Load, what: &str) {
    sleep(Duration::from_secs(1)).await;
    let pairs = load.stop().await;
    let (count, longest) = verify_unrefused(chat, &pairs).await;
    eprintln!("{what}: {count} messages, none refused, the longest waited {longest:?}");
}

async fn sends_wait_for_a_database_that_another_holds(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for hold in Scale::get().holds {
        let load = Load::start(&chat, Scale::get()).await;
        sleep(Duration::from_millis(500)).await;
        hold_file(&chat, *hold).await;
        unrefused(&chat, load, &format!("the database held for {hold:?}")).await;
    }
}

/// Another program has the file for itself.
async fn hold_file(chat: &TestChat, hold: Duration) {
    let other = hold_write_lock(chat).await;
    sleep(hold).await;
    other.close().await.expect("closed");
}

/// A core that commits without end leaves another program the lock when it happens to.
async fn hold_write_lock(chat: &TestChat) -> SqliteConnection {
    let url = format!("sqlite://{}", chat.data_dir().join("chat.db").display());
    eventually("the write lock", async || {
        let mut other = SqliteConnection::connect(&url).await.expect("the database");
        match sqlx::raw_sql("begin immediate").execute(&mut other).await {
            Ok(_) => Some(other),
            Err(sqlx::Error::Database(error)) if error.message().contains("locked") => None,
            Err(error) => panic!("the write lock: {error}"),
        }
    })
    .await
}

async fn sends_wait_for_a_core_that_starts_again(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    for end in [Signal::KILL, Signal::TERM] {
        let load = Load::start(&chat, Scale::get()).await;
        sleep(Duration::from_millis(500)).await;
        chat.process(Role::Core(0)).signal(end);
        chat.ended(Role::Core(0)).await;
        sleep(Duration::from_secs(2)).await;
        chat.spawn(Role::Core(0)).await;
        unrefused(&chat, load, &format!("a core that ended by {end:?}")).await;
    }
}

/// A cluster on a server of its own, and the ways of its cores to that.
struct Scene {
    chat: TestChat,
    ways: [Proxy; 2],
    postgres: PostgresServer,
}

impl Scene {
    /// What waits may do so for longer on a machine that is slow to start an engine again.
    async fn start() -> Self {
        let wait = if is_full() { "10s" } else { "30s" };
        Self::start_with(&[("store-wait", wait)]).await
    }

    async fn start_with(flags: &[(&str, &str)]) -> Self {
        let postgres = PostgresServer::start().await;
        let ways = [(); 2].map(|()| Proxy::start(postgres.address()));
        let builder = TestChat::builder(Arrangement::Cluster)
            .cores(2)
            .engine(Engine::Postgres, postgres.server())
            .route(Role::Core(0), Engine::Postgres, ways[0].address())
            .route(Role::Core(1), Engine::Postgres, ways[1].address());
        let builder =
            flags.iter().fold(builder, |builder, (flag, value)| builder.set(flag, *value));
        Self { chat: builder.start().await, ways, postgres }
    }

    async fn load(&self) -> Load {
        let load = Load::start(&self.chat, Scale::get()).await;
        sleep(Duration::from_millis(500)).await;
        load
    }
}

#[tokio::test]
async fn sends_wait_for_a_database_that_stands_still_or_starts_again() {
    run_test(async {
        let mut scene = Scene::start().await;
        for hold in Scale::get().holds {
            for is_restart in [false, true] {
                let load = scene.load().await;
                if is_restart {
                    scene.postgres.stop_immediately().await;
                    sleep(*hold).await;
                    scene.postgres.start_again().await;
                } else {
                    scene.postgres.pause();
                    sleep(*hold).await;
                    scene.postgres.resume();
                }
                let what = format!("PostgreSQL for {hold:?}, started again: {is_restart}");
                unrefused(&scene.chat, load, &what).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn sends_wait_for_a_table_that_is_locked() {
    run_test(async {
        let scene = Scene::start().await;
        for hold in Scale::get().holds {
            for table in ["messages", "feeds"] {
                let load = scene.load().await;
                let mut other = scene.chat.database().connect().await;
                let lock = format!("begin; lock table {table} in access exclusive mode");
                sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut other).await.expect("locked");
                sleep(*hold).await;
                other.close().await.expect("closed");
                unrefused(&scene.chat, load, &format!("{table} locked for {hold:?}")).await;
            }
        }
        // Told once, and not again and again.
        for core in [Role::Core(0), Role::Core(1)] {
            let begins = scene.chat.log(core).count_of("the database does not take writes");
            assert!(begins <= 4 * Scale::get().holds.len(), "{begins} lines of {core:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_core_that_is_killed_cut_off_or_drains_in_a_stall_costs_no_send() {
    run_test(async {
        let mut scene = Scene::start().await;
        let load = scene.load().await;
        scene.chat.kill(Role::Core(0));
        sleep(Duration::from_secs(1)).await;
        scene.chat.spawn(Role::Core(0)).await;
        unrefused(&scene.chat, load, "a core that was killed").await;

        let load = scene.load().await;
        scene.ways[1].set(Network::BlackHole);
        sleep(Duration::from_secs(if is_full() { 20 } else { 6 })).await;
        scene.ways[1].set(Network::Open);
        unrefused(&scene.chat, load, "a core that was cut off").await;

        let load = scene.load().await;
        scene.postgres.pause();
        sleep(Duration::from_secs(2)).await;
        scene.chat.process(Role::Core(0)).signal(Signal::TERM);
        sleep(Duration::from_secs(2)).await;
        scene.postgres.resume();
        scene.chat.ended(Role::Core(0)).await;
        scene.chat.spawn(Role::Core(0)).await;
        unrefused(&scene.chat, load, "a core that drained in a stall").await;
    })
    .await;
}

/// What is sent while the database is away for longer than anything may wait.
#[tokio::test]
async fn a_send_is_refused_when_its_time_is_over_and_none_before() {
    const BEGINS: &str = "no core takes sends: they wait";
    run_test(async {
        let (wait, away) = if is_full() { (10, 20) } else { (5, 9) };
        let [wait, away] = [wait, away].map(Duration::from_secs);
        let mut scene = Scene::start_with(&[("store-wait", &format!("{}s", wait.as_secs()))]).await;
        let load = scene.load().await;
        let well = Before::of(&scene.chat).await;
        let edges = scene.chat.edge_roles();
        let begins = |chat: &TestChat, edge: &Role| chat.log(*edge).count_of(BEGINS);
        // A machine that stood still has stalls of its own.
        let before: Vec<_> = edges.iter().map(|edge| begins(&scene.chat, edge)).collect();
        let paused_at = Instant::now();
        scene.postgres.pause();
        // As today: a stall is told to whoever asks.
        eventually("not ready", async || {
            (scene.chat.get("/readyz").send().await.status == 503).then_some(())
        })
        .await;
        sleep((paused_at + away).saturating_duration_since(Instant::now())).await;
        scene.postgres.resume();
        let resumed_at = Instant::now();
        sleep(Duration::from_secs(1)).await;
        let pairs = load.stop().await;
        let exact = EXACT + crowded(SLACK);
        let (mut refused, mut unknown, mut late) = (0, 0, 0);
        for pair in &pairs {
            for sent in &pair.sent {
                let took = sent.answered - sent.at;
                match sent.refused.as_deref() {
                    Some("unavailable") => {
                        refused += 1;
                        assert!(took + EXACT > wait, "refused after {took:?} already");
                        assert!(took < wait + exact, "refused after {took:?}");
                    }
                    // The commit was under way when the server stopped.
                    Some("outcome_unknown") => {
                        unknown += 1;
                        assert!(
                            sent.at < paused_at + exact,
                            "unknown, sent {:?} later",
                            sent.at - paused_at
                        );
                    }
                    Some(code) => panic!("{code}"),
                    None => {
                        late += usize::from(sent.at > paused_at && sent.at < resumed_at);
                        assert!(took < wait + exact, "stored after {took:?}");
                    }
                }
            }
            if pair.sent.iter().all(|sent| sent.refused.as_deref() != Some("outcome_unknown")) {
                pair.verify(&scene.chat).await;
            }
        }
        eprintln!("{refused} refused, {unknown} unknown, {late} sent meanwhile and stored");
        assert!(refused > 0 && late > 0, "{refused} refused, {late} stored");
        well.alarms_if_it_goes_on(&scene.chat, &[], &["SendsAreSlow", "UsersAreRefused"]).await;
        // A line at its beginning and one at its end, where the core gave anything back.
        for (edge, before) in edges.iter().zip(before) {
            let all = begins(&scene.chat, edge);
            assert!(all <= before + 1, "{before} and then {all} of {edge:?}");
            scene.chat.log(*edge).counts("a core takes sends again", all).await;
        }
    })
    .await;
}

/// Sends a message, and then what is answered for certain.
async fn say(socket: &mut Socket, receiver: &str, body: &str) {
    socket.send(&chat_message(receiver, body)).await;
    socket.send(&json!({"action": "fence"})).await;
}

/// The code of the answer, if it was not stored.
async fn answer(socket: &mut Socket) -> Option<String> {
    let mut code = None;
    loop {
        let frame: Value = socket.next().await;
        match frame["code"].as_str() {
            Some("unknown_action") => return code,
            told => code = told.map(str::to_owned),
        }
    }
}

/// One user has too much waiting: others are not refused for it, and memory is bounded.
#[tokio::test]
async fn who_has_too_much_waiting_is_refused_alone() {
    const SOCKETS: usize = 16;
    const TEXTS: usize = 8;
    run_test(async {
        let mut scene = Scene::start_with(&[("send-rate", "0")]).await;
        let (flood, bob) = (scene.chat.user("flood").await, scene.chat.user("bob").await);
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            sockets.push(scene.chat.edge_at(0).connect(&flood).await);
        }
        let ada = scene.chat.user("ada").await;
        let mut at_ada = scene.chat.edge_at(0).connect(&ada).await;
        scene.postgres.pause();
        eventually("not ready", async || {
            (scene.chat.edge_at(0).get("/readyz").send().await.status == 503).then_some(())
        })
        .await;
        let text = "x".repeat(16_384);
        for socket in &mut sockets {
            for _ in 0..TEXTS {
                say(socket, &bob.id, &text).await;
            }
        }
        for number in 0..20 {
            say(&mut at_ada, &bob.id, &number.to_string()).await;
        }
        scene.postgres.resume();
        for _ in 0..20 {
            assert_eq!(answer(&mut at_ada).await, None, "refused for another");
        }
        let mut stored = 0;
        for socket in &mut sockets {
            for _ in 0..TEXTS {
                match answer(socket).await.as_deref() {
                    None => stored += 1,
                    code => assert_eq!(code, Some("unavailable")),
                }
            }
        }
        // A MiB, each with 512 bytes beside its text.
        assert_eq!(stored, 1_048_576 / (16_384 + 512));
        assert_eq!(scene.chat.history(&bob, &flood).await.len(), stored);
        assert_eq!(scene.chat.history(&bob, &ada).await.len(), 20);
    })
    .await;
}

/// The database is away for longer than the process may take to end.
async fn what_waits_when_the_process_ends_is_told_before_the_close(arrangement: Arrangement) {
    let mut postgres = PostgresServer::start().await;
    let mut chat = TestChat::builder(arrangement)
        .set("drain-timeout", "4s")
        .engine(Engine::Postgres, postgres.server())
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut at_ada = chat.edge_at(0).connect(&ada).await;
    let mut other = match arrangement {
        Arrangement::Cluster => {
            postgres.pause();
            None
        }
        Arrangement::Serve | Arrangement::Split => Some(hold_write_lock(&chat).await),
    };
    for number in 0..5 {
        at_ada.say(&bob, &number.to_string()).await;
    }
    // Longer than a database may take before it counts as away.
    sleep(Duration::from_secs(2)).await;
    let edge = chat.edge_role();
    chat.process(edge).signal(Signal::TERM);
    let begun = Instant::now();
    let mut codes = Vec::new();
    let close = loop {
        match at_ada.next_message().await {
            Ok(tokio_tungstenite::tungstenite::Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).expect("a frame");
                codes.push(frame["code"].as_str().expect("a code").to_owned());
            }
            Ok(tokio_tungstenite::tungstenite::Message::Close(frame)) => {
                break frame.map(|frame| u16::from(frame.code));
            }
            Ok(_) => {}
            Err(error) => panic!("no close: {error}"),
        }
    };
    assert_eq!(close, Some(1001));
    assert!(begun.elapsed() > Duration::from_secs(1), "nothing waited: {:?}", begun.elapsed());
    assert_eq!(codes, ["unavailable"; 5]);
    chat.ended(edge).await;
    if let Some(other) = other.take() {
        other.close().await.expect("closed");
    }
}
