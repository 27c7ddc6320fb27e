//! Quotas where several cores take from them at the same time: none passes more than one alone would.

use netrox_harness::{Arrangement, TestChat, run_test};
use netrox_proto::v1::{DeleteMessageRequest, ErrorReason, Failure};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    attachment::upload,
    running::{Connection, authorized, connect_to},
};

const CORES: usize = 2;

async fn start(flag: &str, value: &str) -> (TestChat, Vec<Connection>) {
    let builder = TestChat::builder(Arrangement::Cluster).cores(CORES).edges(0).set(flag, value);
    let chat = builder.start().await;
    let mut connections = Vec::new();
    for core in chat.core_roles() {
        connections.push(authorized(connect_to(chat.grpc_address_of(core)).await));
    }
    (chat, connections)
}

fn is(status: &Status, reason: ErrorReason) -> bool {
    Failure::from(status).reason() == reason
}

/// Begins a conversation. A busy machine may say "later".
async fn begin(core: Connection, sender: String, peer: String, file: bool) -> Result<(), Status> {
    loop {
        // Texts alone are stored in one call of the database, and files step by step.
        let begun = if file {
            upload(&core, &sender, &peer, "a.txt", b"x").await.map(drop)
        } else {
            core.send(&sender, &peer, "hello").await.map(drop)
        };
        match begun {
            Err(status) if status.code() == Code::Unavailable => {}
            result => return result,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cores_begin_no_more_conversations_than_one() {
    const LIMIT: usize = 5;
    const PEERS: usize = 24;
    run_test(async {
        let (chat, cores) = start("new-conversations-rate", "5/1h").await;
        let senders: [String; 2] = cores[0].users().await;
        let peers: Vec<_> = (0..PEERS).map(|_| Uuid::new_v4().to_string()).collect();
        cores[0].upsert(&peers).await;
        let mut tasks = JoinSet::new();
        for sender in &senders {
            for (number, peer) in peers.iter().enumerate() {
                let core = cores[number % CORES].clone();
                tasks.spawn(begin(core, sender.clone(), peer.clone(), number % 3 == 0));
            }
        }
        let mut begun = 0;
        for result in tasks.join_all().await {
            match result {
                Ok(()) => begun += 1,
                Err(status) => assert!(is(&status, ErrorReason::RateLimited), "{status:?}"),
            }
        }
        assert_eq!(begun, LIMIT * senders.len());
        assert_eq!(chat.count("select count(*) from threads").await, begun as i64);
    })
    .await;
}

/// Random uploads and deletions by both cores, one of which is killed in between: the counter is what the files take, and never
/// above the limit.
#[tokio::test(flavor = "multi_thread")]
async fn the_counter_of_storage_is_what_the_files_take_whatever_happens() {
    const LIMIT: i64 = 10_000;
    const WORKERS: usize = 8;
    const STEPS: usize = 12;
    run_test(async {
        let (mut chat, cores) = start("max-storage-per-user", "10000").await;
        let [ada, bob] = cores[0].users().await;
        let mut tasks = JoinSet::new();
        for worker in 0..WORKERS {
            let (core, ada, bob) = (cores[worker % CORES].clone(), ada.clone(), bob.clone());
            tasks.spawn(async move {
                let mut own = Vec::new();
                let mut refused = 0;
                for step in 0..STEPS {
                    let size = 300 + (worker * 797 + step * 1_361) % 2_500;
                    match upload(&core, &ada, &bob, "a.bin", &vec![0; size]).await {
                        Ok(message) => own.push(message.id),
                        Err(status) if is(&status, ErrorReason::StorageQuotaExceeded) => {
                            refused += 1;
                        }
                        // A core that is killed.
                        Err(_) => {}
                    }
                    if step % 2 == 1
                        && let Some(message_id) = own.pop()
                    {
                        let user_id = ada.clone();
                        let request =
                            DeleteMessageRequest { user_id, message_id, for_everyone: true };
                        let _ = core.chat().delete_message(request).await;
                    }
                }
                refused
            });
        }
        let mut refused = 0;
        let mut ended = 0;
        while let Some(result) = tasks.join_next().await {
            refused += result.expect("no panic");
            ended += 1;
            if ended == WORKERS / 2 {
                let second = chat.core_roles()[1];
                chat.kill(second);
            }
        }
        assert!(refused > 0, "the limit was reached");
        let counter = chat.count("select bytes from user_storage").await;
        let files = "select cast(coalesce(sum(attachment_size), 0) as bigint) from messages
            where attachment_path is not null and not deleted";
        assert_eq!(counter, chat.count(files).await);
        assert!(counter <= LIMIT, "{counter}");
    })
    .await;
}
