//! Nodes that come to a cluster that runs.

use netrox_harness::{Role, eventually, run_test};

use super::scene::{builder, recovered};
use crate::flow::{Flow, seed};

#[tokio::test]
async fn a_core_joins_and_takes_over() {
    run_test(async {
        let mut chat = builder().cores(3).start().await;
        let newcomer = Role::Core(2);
        chat.kill(newcomer);
        std::fs::remove_dir_all(chat.data_dir_of(newcomer)).expect("forget the core");
        let mut flow = Flow::start(&chat, &chat.edges(), true, seed()).await;
        flow.progress(200).await;
        chat.spawn(newcomer).await;
        let mark = flow.mark();
        recovered(&mut flow, &mark, "a new core").await;
        // It is as good as those that were there before it.
        for core in [Role::Core(0), Role::Core(1)] {
            let mark = flow.mark();
            chat.kill(core);
            recovered(&mut flow, &mark, "the end of an old core").await;
        }
        flow.verify_live(&chat).await;
        flow.verify(&chat).await;
    })
    .await;
}

/// Without a core there is no service, and with the first that comes there is.
#[tokio::test]
async fn a_cluster_that_lost_every_core_comes_back_with_the_first() {
    run_test(async {
        let mut chat = builder().set("store-wait", "0").start().await;
        let mut flow = Flow::start(&chat, &chat.edges(), true, seed()).await;
        flow.progress(200).await;
        for core in chat.core_roles() {
            chat.kill(core);
        }
        eventually("refusals", async || (flow.refusals().0 > 0).then_some(())).await;
        for edge in chat.edges() {
            eventually("not ready", async || {
                (edge.get("/readyz").send().await.status == 503).then_some(())
            })
            .await;
        }
        chat.spawn(Role::Core(1)).await;
        let mark = flow.mark();
        recovered(&mut flow, &mark, "the end of all cores").await;
        flow.verify_live(&chat).await;
        flow.verify(&chat).await;
    })
    .await;
}
