//! A commit whose answer is lost: it is found out what became of it, or the caller is told that nobody knows.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use netrox_harness::{Engine, alarms::Before, engine::PostgresServer, eventually, within};
use netrox_proto::v1::{DispatchAttachmentRequest, ErrorReason, SendMessageRequest};
use sqlx::{Connection as _, PgConnection};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::{
    attachment::upload,
    refusal::assert_refused,
    running::{Core, text},
    subscribe::Subscription,
};

/// A standby that a server is told to wait for, and that there is not.
struct MissingStandby(PgConnection);

impl MissingStandby {
    async fn wanted_by(postgres: &PostgresServer) -> Self {
        let url = postgres.server().database("postgres");
        let mut standby = Self(PgConnection::connect(&url).await.expect("connect"));
        standby.set("alter system set synchronous_standby_names = 'nobody'", "nobody").await;
        standby.is_waited_for(&url).await;
        standby
    }

    /// Commits wait from when the checkpointer has read the setting, which may be busy.
    async fn is_waited_for(&mut self, url: &str) {
        let mut probe = PgConnection::connect(url).await.expect("connect");
        let session: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut probe)
            .await
            .expect("a session");
        let commits = tokio::spawn(async move {
            // Until one waits, and is ended.
            let commit = "select pg_logical_emit_message(true, 'probe', '')";
            while sqlx::raw_sql(commit).execute(&mut probe).await.is_ok() {}
        });
        eventually("a commit that waits for a standby", async || {
            let waits: bool = sqlx::query_scalar(
                "select exists (select 1 from pg_stat_activity
                 where pid = $1 and wait_event = 'SyncRep')",
            )
            .bind(session)
            .fetch_one(&mut self.0)
            .await
            .expect("the sessions");
            waits.then_some(())
        })
        .await;
        self.terminate(session).await;
        within("the end of it", commits).await.expect("commits");
    }

    /// The setting is taken out of the file of a server whose command line is without it.
    async fn forgotten_by(postgres: &PostgresServer) {
        let url = postgres.server().database("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("connect");
        let reset = "alter system reset synchronous_standby_names";
        sqlx::raw_sql(reset).execute(&mut connection).await.expect("a setting");
    }

    /// The setting is taken back.
    async fn no_longer_wanted(&mut self) {
        self.set("alter system reset synchronous_standby_names", "").await;
    }

    async fn set(&mut self, statement: &'static str, value: &str) {
        for statement in [statement, "select pg_reload_conf()"] {
            sqlx::raw_sql(statement).execute(&mut self.0).await.expect("a setting");
        }
        eventually("another setting", async || {
            let set: String =
                sqlx::query_scalar("select current_setting('synchronous_standby_names')")
                    .fetch_one(&mut self.0)
                    .await
                    .expect("a setting");
            (set == value).then_some(())
        })
        .await;
    }

    /// The session of a core that waits for it.
    async fn awaited_by(&mut self) -> i32 {
        eventually("a session that waits for a standby", async || {
            sqlx::query_scalar(
                "select pid from pg_stat_activity
                 where application_name = 'netrox-chat' and wait_event = 'SyncRep'",
            )
            .fetch_optional(&mut self.0)
            .await
            .expect("the sessions")
        })
        .await
    }

    async fn terminate(&mut self, session: i32) {
        let terminated: bool = sqlx::query_scalar("select pg_terminate_backend($1)")
            .bind(session)
            .fetch_one(&mut self.0)
            .await
            .expect("terminated");
        assert!(terminated);
    }
}

async fn core_on(postgres: &PostgresServer) -> Core {
    core_that_waits(postgres, "10s").await
}

async fn core_that_waits(postgres: &PostgresServer, store_wait: &str) -> Core {
    let builder = Core::builder().engine(Engine::Postgres, postgres.server());
    Core::launch(builder.set("store-wait", store_wait)).await
}

fn referred(sender: &str, receiver: &str, body: &str) -> SendMessageRequest {
    let client_ref = Some(Uuid::new_v4().to_string());
    SendMessageRequest { client_ref, ..text(sender, receiver, body) }
}

fn send(core: &Core, request: SendMessageRequest) -> JoinHandle<Result<i64, Status>> {
    let mut chat = core.chat();
    tokio::spawn(async move {
        let stored = chat.send_message(request).await.map(Response::into_inner)?;
        Ok(stored.message_id)
    })
}

/// Its session committed, and the server says so; but no standby has it. Or it waits for one as long as it takes.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_standby_has_is_neither_acknowledged_nor_delivered() {
    /// Longer than the time after which feeds are compared with the store.
    const SILENCE: Duration = Duration::from_secs(3);
    let postgres = PostgresServer::start().await;
    let core = core_on(&postgres).await;
    let [ada, bob] = core.users().await;
    let mut subscription = Subscription::open(&core, &bob).await;
    let well = Before::of(&core.process).await;
    for is_terminated in [true, false] {
        let warm = async || core.send(&bob, &ada, "canary").await.ok();
        eventually("a database that takes writes", warm).await;
        subscription.event().await;
        let before = core.history(&bob, &ada).await.expect("a history").len();
        let mut standby = MissingStandby::wanted_by(&postgres).await;
        let request = referred(&ada, &bob, "canary");
        let sent = send(&core, request.clone());
        let session = standby.awaited_by().await;
        if is_terminated {
            standby.terminate(session).await;
        }
        let answer = within("an answer", sent).await.expect("a send");
        assert_refused(answer, ErrorReason::OutcomeUnknown);
        let delivered = tokio::time::timeout(SILENCE, subscription.event()).await;
        assert!(delivered.is_err(), "no standby has it: {delivered:?}");
        if !is_terminated {
            let cause = "commits wait for a synchronous standby that does not answer";
            eventually("the cause", async || core.log_contains(cause).then_some(())).await;
            let alarms = ["CoreTakesNoWrites", "OutcomesAreUnknown"];
            well.alarms_if_it_goes_on(&core.process, &[], &alarms).await;
        }
        assert_refused(core.send(&ada, &bob, "canary").await, ErrorReason::StoreUnavailable);

        standby.no_longer_wanted().await;
        let id = subscription.message().await.id;
        let repeated = eventually("the same answer", async || {
            core.chat().send_message(request.clone()).await.ok()
        })
        .await;
        assert_eq!(repeated.into_inner().message_id, id);
        assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), before + 1);
    }
}

/// The server is gone before it answers, and back while the sender still waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_found_when_the_server_comes_back() {
    /// On a machine that is slow, the server may take longer to be back than a sender waits: it is tried again.
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut postgres = PostgresServer::start().await;
    let core = core_on(&postgres).await;
    let [ada, bob] = core.users().await;
    let deadline = Instant::now() + PATIENCE;
    for round in 0.. {
        assert!(Instant::now() < deadline, "the outcome was not found in {round} rounds");
        let warm = async || core.send(&ada, &bob, "canary").await.ok();
        eventually("a database that takes writes", warm).await;
        let mut standby = MissingStandby::wanted_by(&postgres).await;
        let body = round.to_string();
        let request = referred(&ada, &bob, &body);
        let sent = send(&core, request.clone());
        // It is committed, and not answered.
        standby.awaited_by().await;
        postgres.kill();
        postgres.start_with(&["synchronous_standby_names="]).await;
        let sent = within("an answer", sent).await.expect("a send");
        let repeated = eventually("the same answer", async || {
            core.chat().send_message(request.clone()).await.ok()
        })
        .await
        .into_inner();
        let history = core.history(&bob, &ada).await.expect("a history");
        let ids = history.iter().filter(|message| message.body == body).map(|message| message.id);
        assert_eq!(ids.collect::<Vec<_>>(), [repeated.message_id]);
        match sent {
            Ok(id) => {
                assert_eq!(id, repeated.message_id);
                return;
            }
            Err(status) => assert_refused(Err::<(), _>(status), ErrorReason::OutcomeUnknown),
        }
        MissingStandby::forgotten_by(&postgres).await;
        postgres.kill();
        postgres.start_again().await;
    }
}

/// The same of what is no new message.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_change_is_found_when_the_server_comes_back() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut postgres = PostgresServer::start().await;
    let core = core_on(&postgres).await;
    let [ada, bob] = core.users().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the outcome was not found");
        let warm = async || upload(&core, &ada, &bob, "a.txt", b"canary").await.ok();
        let file = eventually("a database that takes writes", warm).await;
        let mut standby = MissingStandby::wanted_by(&postgres).await;
        let (mut attachments, sender_id) = (core.attachment(), ada.clone());
        let request = DispatchAttachmentRequest { sender_id, message_id: file.id };
        let dispatched =
            tokio::spawn(async move { attachments.dispatch_attachment(request).await });
        // It is committed, and not answered.
        standby.awaited_by().await;
        postgres.kill();
        postgres.start_with(&["synchronous_standby_names="]).await;
        match within("an answer", dispatched).await.expect("a call") {
            Ok(answer) => {
                let answer = answer.into_inner();
                let message = core.message(&bob, file.id).await.expect("a message");
                assert!(!answer.already_dispatched);
                assert_eq!(message.attachment.expect("a file").dispatched, answer.dispatched);
                return;
            }
            Err(status) => assert_refused(Err::<(), _>(status), ErrorReason::OutcomeUnknown),
        }
        MissingStandby::forgotten_by(&postgres).await;
        postgres.kill();
        postgres.start_again().await;
    }
}

/// Senders that do not stop, each with one message at a time. Each says what it sent, and what it was told.
pub(crate) fn load(
    core: &Core,
    ada: &str,
    bob: &str,
) -> mpsc::Receiver<(String, Result<i64, Status>)> {
    const SENDERS: usize = 16;
    let (told, tales) = mpsc::channel(1_024);
    for sender in 0..SENDERS {
        let (mut chat, told) = (core.chat(), told.clone());
        let (ada, bob) = (ada.to_owned(), bob.to_owned());
        tokio::spawn(async move {
            for number in 0.. {
                let body = format!("{sender} {number}");
                let answer = chat.send_message(text(&ada, &bob, &body)).await;
                let is_refused = answer.is_err();
                let answer = answer.map(|stored| stored.into_inner().message_id);
                if told.send((body, answer)).await.is_err() {
                    return;
                }
                if is_refused {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    tales
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_of_the_server_leaves_is_told_as_it_is() {
    crashes("0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_refuses_nobody_who_may_wait() {
    let refused = crashes("20s").await;
    assert_eq!(refused, 0);
}

/// Gives how many were refused as not stored.
async fn crashes(store_wait: &str) -> usize {
    const ROUNDS: usize = 6;
    const STEADY: usize = 100;
    let mut postgres = PostgresServer::start().await;
    let core = core_that_waits(&postgres, store_wait).await;
    let [ada, bob] = core.users().await;
    let mut tales = load(&core, &ada, &bob);
    let (mut stored, mut refused, mut unknown) = (HashMap::new(), HashSet::new(), HashSet::new());
    for _ in 0..ROUNDS {
        let mut enough = stored.len() + STEADY;
        let mut is_killed = false;
        // Until it is stored again, by those who may not wait after a refusal.
        let mut refused_here = 0;
        loop {
            let (body, answer) = within("an answer", tales.recv()).await.expect("senders");
            match answer {
                Ok(id) => {
                    stored.insert(body, id);
                    let is_over =
                        if store_wait == "0" { refused_here > 0 } else { stored.len() > enough };
                    if is_killed && is_over {
                        break;
                    }
                }
                Err(status) => {
                    refused_here += 1;
                    match status.code() {
                        Code::Unavailable => refused.insert(body),
                        Code::Unknown => unknown.insert(body),
                        other => panic!("{other:?} during a crash: {status:?}"),
                    };
                }
            }
            if !is_killed && stored.len() >= enough {
                is_killed = true;
                enough += STEADY;
                postgres.kill();
                postgres.start_again().await;
            }
        }
    }
    tales.close();
    while let Some((body, answer)) = tales.recv().await {
        if let Ok(id) = answer {
            stored.insert(body, id);
        }
    }
    eprintln!("{} stored, {} refused, {} unknown", stored.len(), refused.len(), unknown.len());
    let history = eventually("a history", async || core.history(&bob, &ada).await.ok()).await;
    let there: HashMap<_, _> =
        history.iter().map(|message| (message.body.clone(), message.id)).collect();
    assert_eq!(there.len(), history.len(), "doubles");
    for (body, id) in &stored {
        assert_eq!(there.get(body), Some(id), "{body:?} was acknowledged");
    }
    assert!(refused.iter().all(|body| !there.contains_key(body)), "refused, and stored");
    refused.len()
}
