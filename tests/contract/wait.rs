//! Writes wait while the database is away: for as long as they may, in order, and not for whoever has gone
//! (chat.proto, `wait_ms` and `hand_back`).

use std::time::{Duration, Instant};

use netrox_harness::{Role, Store, crowding::crowded, eventually, within};
use netrox_proto::v1::{
    ErrorReason, Failure, SendMessageResponse, SendMessagesRequest, send_messages_request::Request,
    send_messages_response::Result as Answer,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tonic::{Code, Response, Status};

use crate::{
    STORE,
    attachment::upload,
    pipeline::Pipeline,
    refusal::{assert_failure, assert_refused},
    running::{Core, text},
};

/// For a debug build that shares its machine, and attempts that wait for a lock for a second.
const SLACK: Duration = Duration::from_millis(2_500);

/// What keeps a core from writing.
pub(crate) enum Away {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Away {
    pub(crate) async fn begin(core: &Core) -> Self {
        let away = match STORE {
            Store::Sqlite => {
                let path = core.process.data_dir().join("chat.db");
                let url = format!("sqlite://{}", path.display());
                let mut other = SqliteConnection::connect(&url).await.expect("the database");
                sqlx::raw_sql("begin immediate").execute(&mut other).await.expect("a lock");
                Self::Sqlite(other)
            }
            Store::Postgres => {
                let mut other = core.process.database().connect().await;
                let lock = "begin; lock table feeds in access exclusive mode";
                sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut other).await.expect("a lock");
                Self::Postgres(other)
            }
        };
        // Until the core knows: what it began before may still be under way.
        away
    }

    pub(crate) async fn end(self) {
        match self {
            Self::Sqlite(other) => other.close().await.expect("closed"),
            Self::Postgres(other) => other.close().await.expect("closed"),
        }
    }
}

type Sending = tokio::task::JoinHandle<Result<SendMessageResponse, Status>>;

fn send(core: &Core, sender: &str, receiver: &str, body: &str, limit: Option<Duration>) -> Sending {
    let (mut chat, mut request) = (core.chat(), tonic::Request::new(text(sender, receiver, body)));
    if let Some(limit) = limit {
        request.set_timeout(limit);
    }
    tokio::spawn(async move { chat.send_message(request).await.map(Response::into_inner) })
}

/// Waits until so many writes wait at the core.
pub(crate) async fn have_come(core: &Core, writes: usize) {
    let shown = format!("netrox_chat_writes_waiting {writes}");
    eventually(&shown, async || {
        let answer = core.process.admin(Role::Core(0)).get("/metrics").send().await;
        answer.text().lines().any(|line| line == shown).then_some(())
    })
    .await;
}

async fn bodies(core: &Core, user: &str, peer: &str) -> Vec<String> {
    let history = core.history(user, peer).await.expect("a history");
    history.into_iter().map(|message| message.body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_in_order_and_only_for_who_is_there() {
    let core = Core::start_with(&[("store-wait", "30s")]).await;
    let [ada, bob, cyd] = core.users().await;
    core.send(&ada, &bob, "before").await.expect("stored");
    let away = Away::begin(&core).await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        waiting.push(send(&core, &ada, &bob, &number.to_string(), None));
        // In this order.
        have_come(&core, number + 1).await;
    }
    let cancelled = send(&core, &ada, &bob, "it is cancelled", None);
    let uploaded = {
        let (core, ada, cyd) = (core.connect().await, ada.clone(), cyd.clone());
        tokio::spawn(async move { upload(&core, &ada, &cyd, "a.txt", b"content").await })
    };
    have_come(&core, 7).await;
    let late = send(&core, &ada, &bob, "its deadline passes", Some(Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    cancelled.abort();
    let code = late.await.expect("a call").expect_err("too late").code();
    assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code:?}");
    // Reading goes on.
    assert_eq!(core.history(&cyd, &ada).await.expect("a history").len(), 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(waiting.iter().all(|send| !send.is_finished()), "not waited for");
    // The core knows who has gone.
    have_come(&core, 6).await;
    away.end().await;
    for send in waiting {
        within("an answer", send).await.expect("a call").expect("stored");
    }
    within("an answer", uploaded).await.expect("a call").expect("stored");
    core.send(&ada, &bob, "after").await.expect("stored");
    assert_eq!(bodies(&core, &bob, &ada).await, ["before", "0", "1", "2", "3", "4", "after"]);
}

/// A request of a stream that says how long it may wait, and from when on.
fn waiting(
    request_id: u64,
    message: Request,
    sent_after_ms: i64,
    wait_ms: u32,
) -> SendMessagesRequest {
    SendMessagesRequest {
        request_id,
        request: Some(message),
        sent_after_ms: Some(sent_after_ms),
        wait_ms: Some(wait_ms),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_refused_when_its_own_time_is_over() {
    let core = Core::start_with(&[("store-wait", "6s")]).await;
    let [ada, bob] = core.users().await;
    let away = Away::begin(&core).await;
    let message = |body: &str| Request::Message(text(&ada, &bob, body));
    let mut pipeline = Pipeline::open(&core).await;
    let begun = Instant::now();
    let unary = send(&core, &ada, &bob, "unary", None);
    // Two seconds old when it comes; one that may wait for longer than the core lets it; and one that says nothing.
    pipeline.put(waiting(1, message("a"), -2_000, 4_000)).await;
    pipeline.put(waiting(2, message("b"), 0, 30_000)).await;
    pipeline.request(3, message("c")).await;
    for (request_id, after) in [(1, 2), (3, 3), (2, 6)] {
        let (told, answer) = pipeline.next().await;
        assert_eq!(told, request_id);
        let Answer::Failure(failure) = answer else { panic!("not refused: {answer:?}") };
        assert_failure(&failure, ErrorReason::StoreUnavailable, "");
        let (took, after) = (begun.elapsed(), Duration::from_secs(after));
        assert!(took >= after && took < after + crowded(SLACK), "{request_id} after {took:?}");
    }
    assert_refused(unary.await.expect("a call"), ErrorReason::StoreUnavailable);
    away.end().await;
    core.send(&ada, &bob, "after").await.expect("stored");
    assert_eq!(bodies(&core, &bob, &ada).await, ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_keeps_is_given_back_and_nothing_after_it_is_stored() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let away = Away::begin(&core).await;
    let kept = |request_id: u64, body: &str| SendMessagesRequest {
        hand_back: true,
        ..waiting(request_id, Request::Message(text(&ada, &bob, body)), 0, 10_000)
    };
    let mut pipeline = Pipeline::open(&core).await;
    for request_id in 1..=50 {
        pipeline.put(kept(request_id, "kept")).await;
    }
    // What of another caller waits behind it goes on waiting.
    let other = send(&core, &cyd, &bob, "waits", None);
    let end = pipeline.answer().await.expect_err("neither stored nor refused");
    assert_eq!(Failure::from(&end).reason(), ErrorReason::HandedBack, "{end:?}");
    assert_refused(Err::<(), _>(end), ErrorReason::HandedBack);
    away.end().await;
    within("an answer", other).await.expect("a call").expect("stored");
    assert_eq!(bodies(&core, &bob, &ada).await, [""; 0]);
    let pipeline = Pipeline::open(&core).await;
    for request_id in 1..=50 {
        pipeline.put(kept(request_id, &request_id.to_string())).await;
    }
    assert_eq!(pipeline.finish().await.expect("a good end").len(), 50);
    let expected: Vec<_> = (1..=50).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&core, &bob, &ada).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_of_a_stream_ends_with_it() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let away = Away::begin(&core).await;
    let pipeline = Pipeline::open(&core).await;
    let begun = send(&core, &ada, &bob, "begun", None);
    have_come(&core, 1).await;
    for request_id in 1..=5 {
        let message = Request::Message(text(&ada, &bob, "its stream broke"));
        pipeline.put(waiting(request_id, message, 0, 10_000)).await;
    }
    have_come(&core, 6).await;
    drop(pipeline);
    // The core knows that it broke.
    have_come(&core, 1).await;
    away.end().await;
    within("an answer", begun).await.expect("a call").expect("stored");
    assert_eq!(bodies(&core, &bob, &ada).await, ["begun"]);
}

/// A batch has room for fewer.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_batch_waits_and_is_stored_in_order() {
    const SENDS: u64 = 1_000;
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let away = Away::begin(&core).await;
    let first = send(&core, &cyd, &bob, "first", None);
    // Until the core knows that the database is away, more may be under way.
    eventually("a line", async || {
        let log = core.process.log(netrox_harness::Role::Core(0));
        let lines = ["writes wait for another transaction", "the database does not take writes"];
        lines.iter().any(|line| log.contains(line)).then_some(())
    })
    .await;
    let mut pipelines = Vec::new();
    for sender in [&ada, &cyd] {
        let pipeline = Pipeline::open(&core).await;
        for number in 0..SENDS {
            let message = Request::Message(text(sender, &bob, &number.to_string()));
            pipeline.put(waiting(number, message, 0, 10_000)).await;
        }
        pipelines.push(pipeline);
    }
    away.end().await;
    within("an answer", first).await.expect("a call").expect("stored");
    let expected: Vec<_> = (0..SENDS).map(|number| number.to_string()).collect();
    for (pipeline, sender) in pipelines.into_iter().zip([&ada, &cyd]) {
        let answers = pipeline.finish().await.expect("a good end");
        assert_eq!(answers.len() as u64, SENDS);
        for answer in answers.values() {
            assert!(matches!(answer, Answer::Message(_)), "{answer:?}");
        }
        let mut stored = bodies(&core, &bob, sender).await;
        stored.retain(|body| body.parse::<u64>().is_ok());
        assert_eq!(stored, expected);
    }
    assert!(!core.log_contains("the database rejected a statement"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_bounded_for_each_user() {
    const SENDS: u64 = 100;
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let away = Away::begin(&core).await;
    let first = send(&core, &cyd, &bob, "0", None);
    // Until the core knows that the database is away, more may be under way.
    eventually("a line", async || {
        let log = core.process.log(netrox_harness::Role::Core(0));
        let lines = ["writes wait for another transaction", "the database does not take writes"];
        lines.iter().any(|line| log.contains(line)).then_some(())
    })
    .await;
    let mut pipeline = Pipeline::open(&core).await;
    let body = "x".repeat(16_000);
    for number in 0..SENDS {
        let message = Request::Message(text(&ada, &bob, &body));
        pipeline.put(waiting(number, message, 0, 10_000)).await;
    }
    let fits = 1_048_576 / (16_000 + 512);
    for _ in fits..SENDS {
        let (number, answer) = pipeline.next().await;
        assert!(number >= fits, "{number} was to wait");
        let Answer::Failure(failure) = answer else { panic!("not refused: {answer:?}") };
        assert_failure(&failure, ErrorReason::Overloaded, "");
    }
    let other = send(&core, &cyd, &bob, "1", None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    away.end().await;
    for send in [first, other] {
        within("an answer", send).await.expect("a call").expect("stored");
    }
    for number in 0..fits {
        let (told, answer) = pipeline.next().await;
        assert!(matches!(answer, Answer::Message(_)), "{answer:?}");
        assert_eq!(told, number);
    }
    assert_eq!(bodies(&core, &bob, &cyd).await, ["0", "1"]);
}
