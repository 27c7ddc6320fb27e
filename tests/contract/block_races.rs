//! Blocks that race with what is sent, over cores on one database.

use netrox_harness::{Arrangement, TestChat, run_test};
use netrox_proto::v1::send_messages_response::Result as Answer;

use crate::{
    pipeline::Pipeline,
    running::{Connection, authorized, connect_to, text},
};

const ROUNDS: u64 = 12;
/// Of each round, before the block is asked for and after its answer.
const SENDS: u64 = 40;

/// The ids that a pipeline was told, by the numbers of its requests.
async fn ids(pipeline: Pipeline) -> Vec<(u64, i64)> {
    let answers = pipeline.finish().await.expect("a good end");
    let id = |(number, answer)| match answer {
        Answer::Message(sent) => (number, sent.message_id),
        other => panic!("{other:?}"),
    };
    let mut ids: Vec<_> = answers.into_iter().map(id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn nothing_that_is_sent_after_a_block_was_acknowledged_passes_on_any_core() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
        let cores = chat.core_roles();
        let connect = async |core: usize| -> Connection {
            authorized(connect_to(chat.grpc_address_of(cores[core])).await)
        };
        let (one, other) = (connect(0).await, connect(1).await);
        for _ in 0..ROUNDS {
            let [ada, bob] = one.users().await;
            let pipeline = Pipeline::open(&other).await;
            for number in 0..SENDS {
                pipeline.message(number, text(&bob, &ada, "x")).await;
            }
            one.block(&ada, &bob).await.expect("blocked");
            for number in SENDS..2 * SENDS {
                pipeline.message(number, text(&bob, &ada, "canary")).await;
            }
            let sent = ids(pipeline).await;
            let shown = one.history(&ada, &bob).await.expect("a history");
            assert!(shown.iter().all(|message| message.body == "x"), "{shown:?}");
            // What is shown is all up to the block, and nothing behind it.
            let shown: Vec<_> = shown.iter().map(|message| message.id).collect();
            let all: Vec<_> = sent.iter().map(|(_, id)| *id).collect();
            assert_eq!(shown, all[..shown.len()]);
            assert_eq!(other.history(&bob, &ada).await.expect("a history").len(), all.len());
            // The other way round: all that is sent after the answer to an unblock is shown.
            one.unblock(&ada, &bob).await.expect("unblocked");
            let id = other.send(&bob, &ada, "y").await.expect("stored").message_id;
            let last = one.history(&ada, &bob).await.expect("a history").pop();
            assert_eq!(last.expect("a message").id, id);
        }
    })
    .await;
}
