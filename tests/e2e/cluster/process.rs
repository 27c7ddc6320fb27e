//! Processes of a cluster that end, and come back.

use netrox_harness::{TestChat, run_test};

use super::scene::{builder, recovered};
use crate::flow::{Flow, seed};

const ROUNDS: usize = 2;

/// What clients were shown meanwhile is held against the store. `answered`: as in [`Flow::start`].
async fn under_load(answered: bool, act: impl AsyncFnOnce(&mut TestChat, &mut Flow)) {
    run_test(async {
        let mut chat = builder().start().await;
        let mut flow = Flow::start(&chat, &chat.edges(), answered, seed()).await;
        flow.progress(200).await;
        act(&mut chat, &mut flow).await;
        flow.verify_live(&chat).await;
        flow.verify(&chat).await;
    })
    .await;
}

#[tokio::test]
async fn sockets_stay_open_while_each_core_is_killed_in_turn() {
    under_load(true, async |chat, flow| {
        for core in chat.core_roles().repeat(ROUNDS) {
            let mark = flow.mark();
            chat.kill(core);
            // The others take over.
            recovered(flow, &mark, "the end of a core").await;
            chat.spawn(core).await;
            let mark = flow.mark();
            recovered(flow, &mark, "the return of a core").await;
        }
    })
    .await;
}

#[tokio::test]
async fn clients_go_on_at_another_edge_while_each_is_killed_in_turn() {
    under_load(false, async |chat, flow| {
        for edge in chat.edge_roles().repeat(ROUNDS) {
            let mark = flow.mark();
            chat.kill(edge);
            recovered(flow, &mark, "the end of an edge").await;
            chat.spawn(edge).await;
            chat.ready().await;
        }
    })
    .await;
}

/// A new version, node by node.
#[tokio::test]
async fn a_rolling_restart_loses_nothing() {
    under_load(false, async |chat, flow| {
        for role in chat.roles() {
            let status = chat.terminate(role).await;
            assert_eq!(status.code(), Some(0), "{role:?}: {status:?}");
            chat.spawn(role).await;
            chat.ready().await;
            let mark = flow.mark();
            recovered(flow, &mark, "a restart").await;
        }
    })
    .await;
}

/// Cores that drain hand their streams over: no client of an edge that stays notices.
#[tokio::test]
async fn sockets_stay_open_while_cores_are_restarted_in_turn() {
    under_load(true, async |chat, flow| {
        for core in chat.core_roles().repeat(ROUNDS) {
            assert_eq!(chat.terminate(core).await.code(), Some(0));
            chat.spawn(core).await;
            let mark = flow.mark();
            recovered(flow, &mark, "a restart of a core").await;
        }
    })
    .await;
}
