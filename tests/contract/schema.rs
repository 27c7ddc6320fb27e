//! Several cores that start at the same time on an empty database: one makes the schema, the others wait for it.

use netrox_harness::{Arrangement, TestChat, run_test};

use crate::running::{authorized, connect_to};

const CORES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn cores_that_start_together_on_an_empty_database_come_up() {
    run_test(async {
        for _ in 0..2 {
            let builder = TestChat::builder(Arrangement::Cluster).cores(CORES).edges(0);
            // They begin before any of them listens.
            let chat = builder.start().await;
            let mut database = chat.database().connect().await;
            let counts: (i64, i64) = sqlx::query_as(
                "select count(distinct version), count(*) from _sqlx_migrations where success",
            )
            .fetch_one(&mut database)
            .await
            .expect("the migrations");
            assert!(counts.0 > 0 && counts.0 == counts.1, "{counts:?}");
            let databases: i64 = sqlx::query_scalar("select count(*) from cluster")
                .fetch_one(&mut database)
                .await
                .expect("the identity of the database");
            assert_eq!(databases, 1);
            // Each of them serves, and what one stores the next one knows.
            let first = connect_to(chat.grpc_address()).await;
            let [ada, bob] = authorized(first).users().await;
            for (number, core) in chat.core_roles().into_iter().enumerate() {
                let core = authorized(connect_to(chat.grpc_address_of(core)).await);
                core.send(&ada, &bob, "hello").await.expect("stored");
                let history = core.history(&bob, &ada).await.expect("a history");
                assert_eq!(history.len(), number + 1);
            }
        }
    })
    .await;
}
