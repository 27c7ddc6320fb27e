//! PostgreSQL on a disk that is full: clear refusals, a health that does not waver, and service when there is room.

use std::time::Duration;

use netrox_harness::{
    Engine, Role, engine::PostgresServer, eventually, small_disk::SmallDisk, within,
};
use netrox_proto::v1::ErrorReason;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

use crate::{
    refusal::assert_refused,
    running::{Core, text},
    subscribe::Subscription,
};

/// What the server says of each attempt to take more room.
const NO_ROOM: &str = "could not extend file";
const AGAIN: &str = "the database takes writes again";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_not_taken_for_one_with_room() {
    /// Attempts of the core to find room, and of senders.
    const ATTEMPTS: usize = 12;
    /// More than files have room for inside.
    const MANY: usize = 5_000;
    let disk = SmallDisk::mount(64 * 1024 * 1024);
    let postgres = PostgresServer::start_with_tables_on(&disk).await;
    let builder = Core::builder().engine(Engine::Postgres, postgres.server());
    let core = Core::launch(builder.set("store-wait", "0")).await;
    let [ada, bob] = core.users().await;
    // As after any fault before: its row is there, and another version of it needs no room.
    let mut database = core.process.database().connect().await;
    let probed = sqlx::query("insert into write_probe (id, written) values (1, 0)");
    probed.execute(&mut database).await.expect("a row");
    let log = core.process.log(Role::Core(0));
    for _ in 1..=2 {
        let mut subscription = Subscription::open(&core, &bob).await;
        let before = core.history(&bob, &ada).await.expect("a history").len();
        let (lines, seen) = (log.lines().len(), postgres.log().matches(NO_ROOM).count());
        disk.fill();
        let mut stored = 0;
        loop {
            // What no compression makes small.
            let body: String = (0..200).map(|_| Uuid::new_v4().to_string()).collect();
            match core.send(&ada, &bob, &body).await {
                Ok(_) => stored += 1,
                Err(status) => {
                    assert_refused(Err::<(), _>(status), ErrorReason::StoreUnavailable);
                    // A machine that is busy may refuse some while there is room.
                    if postgres.log().matches(NO_ROOM).count() > seen {
                        break;
                    }
                }
            }
            assert!(stored < MANY, "the disk is full");
        }
        let full_at = eventually("a line that tells of the disk", async || {
            let of_disk = |line: &String| line.contains("take writes") && line.contains(NO_ROOM);
            log.lines()[lines..].iter().position(of_disk).map(|place| lines + place)
        })
        .await;
        let mut watched = HealthClient::new(core.channel().await)
            .watch(HealthCheckRequest { service: String::new() })
            .await
            .expect("a watch")
            .into_inner();
        let mut health = async || {
            let health = within("a health", watched.message()).await;
            health.expect("a health").expect("a health").status()
        };
        while health().await != ServingStatus::NotServing {}
        let seen = postgres.log().matches(NO_ROOM).count();
        eventually("further attempts", async || {
            let refused = core.send(&ada, &bob, "canary").await;
            assert_refused(refused, ErrorReason::StoreUnavailable);
            tokio::time::sleep(Duration::from_millis(50)).await;
            (postgres.log().matches(NO_ROOM).count() >= seen + ATTEMPTS).then_some(())
        })
        .await;
        let again = || log.lines()[full_at..].iter().filter(|line| line.contains(AGAIN)).count();
        assert_eq!(again(), 0, "it wavers");
        // Reading goes on.
        let history = core.history(&bob, &ada).await.expect("a history");
        assert_eq!(history.len(), before + stored);

        disk.free();
        assert_eq!(health().await, ServingStatus::Serving);
        let mut request = text(&ada, &bob, "canary");
        request.client_ref = Some(Uuid::new_v4().to_string());
        let sent = eventually("room for a message", async || {
            core.chat().send_message(request.clone()).await.ok()
        });
        let id = sent.await.into_inner().message_id;
        for _ in 0..stored {
            subscription.event().await;
        }
        assert_eq!(subscription.message().await.id, id);
        eventually("a line that there is room", async || (again() == 1).then_some(())).await;
        let taken: i64 = sqlx::query_scalar("select pg_total_relation_size('write_room')")
            .fetch_one(&mut database)
            .await
            .expect("a size");
        assert!(taken < 100_000, "{taken} bytes were not given back");
    }
}
