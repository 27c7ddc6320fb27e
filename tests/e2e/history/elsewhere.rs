//! An address that leads to another database, and back.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Builder, Engine, Role, Store, TestChat,
    database::Database,
    engine::{PostgresServer, ReplicatedPostgres},
    eventually,
    proxy::{Network, Proxy},
    run_test, within,
};
use netrox_proto::v1::{ErrorReason, Failure, SendMessageRequest, UpsertUsersRequest, UserChange};
use tokio::task::JoinSet;
use tonic::Status;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    crowd::{BOB, Crowd},
    ways::behind_proxies,
};

/// How often each core comes to a database that is not its own before it is believed that it goes on to refuse it.
const LOOKS: u64 = 5;
/// Between two sends to a core.
const PAUSE: Duration = Duration::from_millis(50);

/// What would show that anything was written.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Contents {
    messages: i64,
    last_message: i64,
    threads: i64,
    users: i64,
    places: i64,
    starts: i64,
}

async fn contents(database: &Database) -> Contents {
    let contents = sqlx::query_as(
        "select (select count(*) from messages) as messages,
            (select coalesce(max(id), 0) from messages) as last_message,
            (select count(*) from threads) as threads,
            (select count(*) from users) as users,
            (select coalesce(sum(last_seq), 0)::bigint from feeds) as places,
            (select count(*) from starts) as starts",
    );
    contents.fetch_one(&mut database.connect().await).await.expect("the contents of a database")
}

/// Sends that are not repeated, one at a time to each core.
#[derive(Default)]
struct Attempts(JoinSet<Attempt>);

struct Attempt {
    core: Role,
    text: String,
    answer: Result<i64, Status>,
}

impl Attempts {
    fn begin(&mut self, chat: &TestChat, core: Role, crowd: &mut Crowd) {
        let mut service = chat.chat_service_of(core);
        let request = crowd.request(BOB, "meanwhile");
        self.0.spawn(async move {
            tokio::time::sleep(PAUSE).await;
            let text = request.body.clone();
            let answer = service.send_message(request).await;
            Attempt { core, text, answer: answer.map(|answer| answer.into_inner().message_id) }
        });
    }

    /// Waits for all of them. What waited is stored, or refused.
    async fn settle(mut self, crowd: &mut Crowd) {
        let mut stored = Vec::new();
        while let Some(attempt) = within("an answer", self.0.join_next()).await {
            let Attempt { text, answer, .. } = attempt.expect("an attempt");
            match answer {
                Ok(id) => stored.push((id, text)),
                Err(status) => assert_refused(&status),
            }
        }
        stored.sort_unstable();
        for (id, text) in stored {
            crowd.stored(BOB, id, &text);
        }
    }
}

#[track_caller]
fn assert_refused(status: &Status) {
    let reason = Failure::from(status).reason();
    let refused = matches!(reason, ErrorReason::StoreUnavailable | ErrorReason::Overloaded);
    assert!(refused, "{status:?}");
}

/// The ways lead to a database that is not theirs: nothing is taken, and nothing of it is shown. What waits goes on to
/// wait.
async fn nothing_passes(chat: &TestChat, crowd: &mut Crowd, ways: &[Proxy]) -> Attempts {
    let mut looked = pin!(join_all(ways.iter().map(|way| way.connected(LOOKS))));
    let mut attempts = Attempts::default();
    for core in chat.core_roles() {
        attempts.begin(chat, core, crowd);
    }
    loop {
        let attempt = tokio::select! {
            _ = &mut looked => break,
            Some(attempt) = attempts.0.join_next() => attempt.expect("an attempt"),
        };
        let Attempt { core, text, answer } = attempt;
        match answer {
            Ok(id) => panic!("{text:?} was stored in another database, with the id {id}"),
            Err(status) => assert_refused(&status),
        }
        for (edge, (reader, author)) in chat.edges().iter().zip(crowd.pairs()) {
            let path = format!("/chat/messages/{}/", author.id);
            edge.get(&path).bearer(&reader.token).send().await.assert_failure(503);
        }
        attempts.begin(chat, core, crowd);
    }
    for core in chat.core_roles() {
        let mut health = HealthClient::new(chat.channel_to(core));
        eventually("bad health", async || {
            let answer = health.check(HealthCheckRequest { service: String::new() }).await;
            let status = answer.expect("an answer").into_inner().status();
            (status == ServingStatus::NotServing).then_some(())
        })
        .await;
    }
    attempts
}

/// The ways lead to their database again: all goes on as if nothing had been.
async fn all_goes_on(chat: &TestChat, crowd: &mut Crowd, attempts: Attempts) {
    attempts.settle(crowd).await;
    for core in chat.core_roles() {
        crowd.send_all(chat, core, "after", 10).await;
    }
    crowd.all_shown().await;
    crowd.newcomers_are_shown_everything(chat, chat.core_role()).await;
    crowd.histories_are_whole(chat).await;
}

/// The same users in a deployment of its own, where they were written more.
async fn another_deployment(crowd: &Crowd, builder: Builder) -> TestChat {
    let mut chat = builder.start().await;
    let ids: BTreeSet<_> = crowd.pairs().flat_map(|(one, other)| [&one.id, &other.id]).collect();
    let change = |id: &String| UserChange { id: id.clone(), ..Default::default() };
    let request = UpsertUsersRequest { users: ids.into_iter().map(change).collect() };
    chat.directory_service().upsert_users(request).await.expect("users");
    let mut service = chat.chat_service();
    for number in 0..30 {
        for (reader, author) in crowd.pairs() {
            let request = SendMessageRequest {
                sender_id: author.id.clone(),
                receiver_id: reader.id.clone(),
                body: format!("canary of another deployment {number}"),
                client_ref: None,
                ..Default::default()
            };
            service.send_message(request).await.expect("stored");
        }
    }
    assert!(chat.terminate(chat.core_role()).await.success());
    chat
}

/// A core on PostgreSQL alone.
fn alone() -> Builder {
    TestChat::builder(Arrangement::Split).edges(0).store(Store::Postgres)
}

#[tokio::test]
async fn another_deployment_behind_the_address_is_refused() {
    run_test(async {
        let postgres = PostgresServer::start().await;
        let (cluster, ways) = behind_proxies(&postgres);
        let chat = cluster.start().await;
        let mut crowd = Crowd::gather(&chat).await;
        crowd.send_all(&chat, chat.core_role(), "before", 10).await;
        crowd.all_shown().await;
        let bookmark = crowd.bookmark(&chat).await;
        let other = another_deployment(&crowd, alone()).await;
        let elsewhere = other.database().copy_as(chat.database().name()).await;
        let before = contents(&elsewhere).await;

        ways.iter().for_each(|way| way.lead_to(elsewhere.address()));
        let attempts = nothing_passes(&chat, &mut crowd, &ways).await;
        for core in chat.core_roles() {
            let line = "it is the database of another deployment";
            eventually(line, async || chat.log(core).contains(line).then_some(())).await;
        }
        ways.iter().for_each(|way| way.lead_to(postgres.address()));
        all_goes_on(&chat, &mut crowd, attempts).await;
        let resumed = crowd.resume(&chat, chat.core_role(), &bookmark).await;
        crowd.goes_on(resumed, &bookmark).await;
        crowd.devices_go_on(&chat, &bookmark).await;
        assert_eq!(contents(&elsewhere).await, before, "written into another database");
    })
    .await;
}

/// Nothing of the server tells one from the other.
#[tokio::test]
async fn another_deployment_on_the_same_server_is_refused() {
    run_test(async {
        let postgres = PostgresServer::start().await;
        let (cluster, ways) = behind_proxies(&postgres);
        let chat = cluster.start().await;
        let mut crowd = Crowd::gather(&chat).await;
        crowd.send_all(&chat, chat.core_role(), "before", 10).await;
        crowd.all_shown().await;
        let builder = alone().engine(Engine::Postgres, postgres.server());
        let other = another_deployment(&crowd, builder).await;
        let before = contents(other.database()).await;

        ways.iter().for_each(|way| way.set(Network::Refused));
        chat.database().exchange(other.database()).await;
        ways.iter().for_each(|way| way.set(Network::Open));
        let attempts = nothing_passes(&chat, &mut crowd, &ways).await;
        ways.iter().for_each(|way| way.set(Network::Refused));
        chat.database().exchange(other.database()).await;
        ways.iter().for_each(|way| way.set(Network::Open));
        all_goes_on(&chat, &mut crowd, attempts).await;
        assert_eq!(contents(other.database()).await, before, "written into another database");
    })
    .await;
}

/// One that comes back after a standby took its place, and that nobody has told.
#[tokio::test]
async fn an_old_primary_behind_the_address_is_refused() {
    run_test(async {
        let mut postgres = ReplicatedPostgres::start().await;
        let (cluster, ways) = behind_proxies(postgres.primary());
        let chat = cluster.start().await;
        let mut crowd = Crowd::gather(&chat).await;
        crowd.send_all(&chat, chat.core_role(), "before", 10).await;
        crowd.all_shown().await;
        postgres.caught_up().await;
        postgres.fail_over().await;
        ways.iter().for_each(|way| way.lead_to(postgres.standby_address()));
        for core in chat.core_roles() {
            crowd.send_all(&chat, core, "after the failover", 5).await;
        }
        crowd.all_shown().await;
        postgres.start_old_primary().await;
        let before = contents(chat.database()).await;

        ways.iter().for_each(|way| way.lead_to(postgres.primary().address()));
        let attempts = nothing_passes(&chat, &mut crowd, &ways).await;
        ways.iter().for_each(|way| way.lead_to(postgres.standby_address()));
        all_goes_on(&chat, &mut crowd, attempts).await;
        assert_eq!(contents(chat.database()).await, before, "written into the old primary");
    })
    .await;
}
