//! What issuers call users, where several cores learn it at the same time: one user is called so, as on one core.

use std::collections::BTreeSet;

use netrox_harness::{Arrangement, TestChat, run_test};
use netrox_proto::v1::{EnsureUserRequest, ExternalId, UserChange};
use tonic::Code;
use uuid::Uuid;

use crate::{
    refusal::assert_invalid,
    running::{authorized, connect_to},
};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_on_several_cores_one_is_called_so() {
    const CORES: usize = 3;
    const SUBJECTS: usize = 20;
    run_test(async {
        let chat = TestChat::builder(Arrangement::Cluster).cores(CORES).edges(0).start().await;
        let mut calls = tokio::task::JoinSet::new();
        for (number, core) in chat.core_roles().into_iter().enumerate() {
            let core = authorized(connect_to(chat.grpc_address_of(core)).await);
            for subject in 0..SUBJECTS {
                // Not each in the same order.
                let subject = ((subject + 7 * number) % SUBJECTS).to_string();
                let mut directory = core.directory();
                calls.spawn(async move {
                    let external_id = ExternalId { issuer: "i".to_owned(), subject };
                    let user = UserChange {
                        id: Uuid::new_v4().to_string(),
                        external_id: Some(external_id),
                        ..Default::default()
                    };
                    let request = EnsureUserRequest { user: Some(user), issued_at: None };
                    loop {
                        match directory.ensure_user(request.clone()).await {
                            // A busy machine may say "later", also of what was stored.
                            Err(status) if status.code() != Code::InvalidArgument => {}
                            answer => return answer,
                        }
                    }
                });
            }
        }
        let (mut ensured, mut refused) = (BTreeSet::new(), 0);
        while let Some(answer) = calls.join_next().await {
            match answer.expect("a task") {
                Ok(answer) => {
                    let user = answer.into_inner().user.expect("a user");
                    assert!(ensured.insert(user.external_id.expect("an external id").subject));
                }
                refusal => {
                    assert_invalid(refusal, "external_id");
                    refused += 1;
                }
            }
        }
        assert_eq!((ensured.len(), refused), (SUBJECTS, (CORES - 1) * SUBJECTS));
        let stored = "select count(*) from external_ids";
        assert_eq!(chat.count(stored).await, SUBJECTS as i64);
    })
    .await;
}
