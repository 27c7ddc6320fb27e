use netrox_audit::Audit;
use netrox_proto::ids::UserId;
use tempfile::TempDir;
use uuid::Uuid;

use super::{write::WRITE_OVERHEAD_BYTES, *};
use crate::{
    command::NewMessage,
    config::Database,
    metrics::Metrics,
    quotas::Quotas,
    store::{Expected, Store},
};

/// A committer whose task does not run.
async fn committer() -> (TempDir, Committer, CommitTask) {
    let directory = tempfile::tempdir().expect("a directory");
    let database = Database::Sqlite(directory.path().join("chat.db"));
    let (damaged, quotas) = (CancellationToken::new(), Quotas::default());
    let opened =
        Store::open(&database, Expected::Nothing, false, damaged, quotas, false, false).await;
    let writer = opened.expect("a database").writer;
    let stop = CancellationToken::new();
    let waits = Waits {
        store: Duration::from_secs(10),
        hurries: CancellationToken::new(),
        hurried: Duration::from_secs(5),
        ends: stop.clone(),
    };
    let Metrics { commits, quota_refusals: refused, .. } = Metrics::default();
    let quotas = QuotaTeller { refused, audit: Audit::default() };
    let watch = Watch { commits, quotas };
    let (committer, task, _) = new(writer, Delivery::default(), stop, waits, watch);
    (directory, committer, task)
}

/// As many as are taken.
fn fill<V: Verb>(committer: &Committer, verb: impl Fn() -> V) -> Vec<Pending<V>> {
    let mut taken = Vec::new();
    loop {
        match committer.submit(verb()) {
            Ok(pending) => taken.push(pending),
            Err(error) => {
                assert!(matches!(error, Error::Overloaded), "{error:?}");
                return taken;
            }
        }
    }
}

#[tokio::test]
async fn no_more_writes_wait_than_there_are_places() {
    let (_directory, committer, task) = committer().await;
    let user = UserId(Uuid::from_u128(1));
    assert_eq!(
        fill(&committer, || DeleteUser { user, erases_messages: false }).len(),
        QUEUE_WRITES
    );
    drop(task);
    assert!(matches!(
        committer.submit(DeleteUser { user, erases_messages: false }),
        Err(Error::StoreUnavailable)
    ));
}

#[tokio::test]
async fn no_more_text_waits_than_there_is_room_for() {
    let (_directory, committer, task) = committer().await;
    let (sender, receiver) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let message = || NewMessage::text(sender, receiver, "x".repeat(16_000));
    let taken = fill(&committer, message);
    assert_eq!(taken.len(), QUEUE_BYTES / (16_000 + WRITE_OVERHEAD_BYTES));
    // The room is given back with the answers, though nobody waits for them.
    drop(taken);
    committer.stop.cancel();
    tokio::spawn(task.run()).await.expect("a task");
    assert_eq!(committer.room.available_permits(), QUEUE_BYTES);
}

#[tokio::test]
async fn what_nobody_sees_waits_until_all_messages_are_taken_and_goes_alone() {
    let (_directory, committer, mut task) = committer().await;
    let (sender, receiver) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let message = || NewMessage::text(sender, receiver, "x".to_owned());
    let _seen = committer.submit(NoteSeen(vec![(sender, 1)])).expect("room");
    let _first = committer.submit(message()).expect("room");
    let roll = KeepRoll { core: Uuid::from_u128(3), users: None };
    let _roll = committer.submit(roll).expect("room");
    let _second = committer.submit(message()).expect("room");
    for is_last in [false, true] {
        let batch = task.watchdog.waiting.next().await.expect("a batch");
        let are_last: Vec<_> = batch.writes.iter().map(Write::goes_last).collect();
        assert_eq!(are_last, [is_last; 2]);
    }
}
