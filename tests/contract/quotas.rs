//! Quotas of users: how many conversations they begin, and what their files take.

use std::time::Duration;

use netrox_proto::v1::{
    ErrorReason, Message, SendMessageRequest, UploadAttachmentRequest, UploadStart,
    send_messages_response::Result as Answer, upload_attachment_request::Part,
};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    attachment::{chunk, dispatch, finish, upload},
    pipeline::Pipeline,
    refusal::{assert_failure, assert_refused},
    running::{Core, text},
};

const HOUR: Duration = Duration::from_secs(3600);

fn with_ref(sender: &str, receiver: &str, client_ref: &str) -> SendMessageRequest {
    SendMessageRequest {
        client_ref: Some(client_ref.into()),
        from_client: true,
        ..text(sender, receiver, "hello")
    }
}

/// How long a refused one has to wait.
fn wait(status: &Status) -> Duration {
    let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    retry.expect("a time")
}

#[tokio::test]
async fn a_user_begins_as_many_conversations_as_may_be_and_replies_to_all() {
    let core = Core::start_with(&[("new-conversations-rate", "2/1h")]).await;
    let [ada, bob, cyd, dee, eve] = core.users().await;
    let client_ref = Uuid::new_v4().to_string();
    let first = with_ref(&ada, &bob, &client_ref);
    core.chat().send_message(first.clone()).await.expect("the first");
    core.send(&dee, &ada, "begun by another").await.expect("stored");
    upload(&core, &ada, &cyd, "a.txt", b"a file").await.expect("the second");
    for _ in 0..3 {
        let refused = core.send(&ada, &eve, "the third").await.expect_err("a refusal");
        let wait = wait(&refused);
        assert!(wait <= HOUR && wait > HOUR - Duration::from_secs(120), "{wait:?}");
        assert_refused::<()>(Err(refused), ErrorReason::RateLimited);
    }
    let refused = upload(&core, &ada, &eve, "b.txt", b"a file").await;
    assert_refused(refused, ErrorReason::RateLimited);
    core.keeps_files(1).await;
    // What is there goes on, and a repetition is answered as ever.
    for receiver in [&bob, &cyd, &dee] {
        core.send(&ada, receiver, "again").await.expect("a conversation that is there");
    }
    let again = core.chat().send_message(first).await.expect("stored before").into_inner();
    assert!(again.repeated);
    // Others have their own, and whoever does not count begins for both.
    core.send(&eve, &ada, "hello").await.expect("the other way");
    core.send(&ada, &eve, "a reply").await.expect("there by now");
    assert_eq!(core.threads(&ada).await.expect("threads").len(), 4);
    // When the oldest is over, there is room for one.
    let [fay, gil] = core.users().await;
    let past = "update threads set created = created - 3600000000
        where id = (select min(id) from threads)";
    core.process.change_rows(&[past]).await;
    core.send(&ada, &fay, "hello").await.expect("one more");
    let refused = core.send(&ada, &gil, "hello").await;
    assert_refused(refused, ErrorReason::RateLimited);
}

#[tokio::test]
async fn a_pipeline_begins_as_many_as_may_be_in_one_batch() {
    const SENDS: u64 = 40;
    let core = Core::start_with(&[("new-conversations-rate", "7/1h")]).await;
    let [ada] = core.users().await;
    let peers: Vec<_> = (0..SENDS).map(|_| Uuid::new_v4().to_string()).collect();
    core.upsert(&peers).await;
    let pipeline = Pipeline::open(&core).await;
    for (number, peer) in (0..).zip(&peers) {
        // Each twice: the second is of the same conversation.
        pipeline.message(2 * number, text(&ada, peer, "hello")).await;
        pipeline.message(2 * number + 1, text(&ada, peer, "again")).await;
    }
    let (mut stored, mut refused) = (Vec::new(), 0);
    for (number, answer) in pipeline.finish().await.expect("a good end") {
        match answer {
            Answer::Failure(failure) => {
                assert_failure(&failure, ErrorReason::RateLimited, "");
                assert!(failure.retry_after_ms > 0, "{failure:?}");
                refused += 1;
            }
            _ => stored.push(number / 2),
        }
    }
    stored.sort_unstable();
    stored.dedup();
    assert_eq!((stored, refused), ((0..7).collect(), 2 * (SENDS - 7)));
    assert_eq!(core.threads(&ada).await.expect("threads").len(), 7);
}

async fn upload_with(
    core: &Core,
    sender: &str,
    receiver: &str,
    (bytes, min_size): (usize, i64),
    client_ref: Option<&str>,
) -> Result<Message, Status> {
    let start = UploadStart {
        sender_id: sender.into(),
        file_name: "a.bin".into(),
        client_ref: client_ref.map(Into::into),
        from_client: client_ref.is_some(),
        min_size,
        ..Default::default()
    };
    let content = vec![b'x'; bytes];
    let chunks = content.chunks(64 * 1024).map(chunk);
    let parts = std::iter::once(Part::Start(start)).chain(chunks).chain([finish(receiver, "")]);
    let parts = parts.map(|part| UploadAttachmentRequest { part: Some(part) });
    let parts = tokio_stream::iter(parts.collect::<Vec<_>>());
    let answer = core.attachment().upload_attachment(parts).await.map(Response::into_inner)?;
    Ok(answer.message.expect("a message"))
}

#[tokio::test]
async fn who_was_over_the_quota_before_it_was_set_is_counted_once() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    upload(&core, &ada, &bob, "a.bin", &[0; 700]).await.expect("stored");
    core.process.set("max-storage-per-user", "500");
    core.kill_and_restart().await;
    for size in [0, 1] {
        let mine = Uuid::new_v4().to_string();
        let refused = upload_with(&core, &ada, &bob, (1, size), Some(&mine)).await;
        assert_refused(refused, ErrorReason::StorageQuotaExceeded);
        assert_eq!(counted(&core).await, (700, 700));
    }
    // From then on the counter counts: nobody sums up again.
    core.process.change_rows(&["update user_storage set bytes = 499"]).await;
    upload(&core, &ada, &bob, "b.bin", b"x").await.expect("room");
    core.keeps_files(2).await;
}

/// Of a database: what the counter says, and what the files take.
async fn counted(core: &Core) -> (i64, i64) {
    let counter = "select cast(coalesce(sum(bytes), -1) as bigint) from user_storage";
    let files = "select cast(coalesce(sum(attachment_size), 0) as bigint) from messages
        where attachment_path is not null and not deleted";
    (core.process.count(counter).await, core.process.count(files).await)
}

#[tokio::test]
async fn files_take_storage_until_they_are_deleted_for_everyone() {
    let core = Core::start_with(&[("max-storage-per-user", "1000")]).await;
    let [ada, bob] = core.users().await;
    let mine = Some(Uuid::new_v4().to_string());
    let first = upload_with(&core, &ada, &bob, (600, 0), mine.as_deref()).await.expect("room");
    for _ in 0..2 {
        let refused = upload_with(&core, &ada, &bob, (401, 0), None).await;
        assert_refused(refused, ErrorReason::StorageQuotaExceeded);
    }
    // What is announced is refused before it comes: none of it does.
    let other = Uuid::new_v4().to_string();
    let refused = upload_with(&core, &ada, &bob, (0, 401), Some(&other)).await;
    assert_refused(refused, ErrorReason::StorageQuotaExceeded);
    // A repetition needs no room.
    let again = upload_with(&core, &ada, &bob, (600, 600), mine.as_deref()).await;
    assert_eq!(again.expect("stored before").id, first.id);
    let exact = upload(&core, &ada, &bob, "b.bin", &[0; 400]).await.expect("exactly as much");
    upload(&core, &ada, &bob, "c.bin", b"").await.expect("nothing takes no room");
    core.send(&ada, &bob, "text").await.expect("text takes none");
    upload(&core, &bob, &ada, "d.bin", &[0; 1000]).await.expect("the other's own");
    assert_eq!(counted(&core).await, (2000, 2000));
    // For oneself alone it stays for the other, and takes what it took.
    dispatch(&core, &ada, exact.id).await.expect("shown");
    core.delete(&ada, exact.id, false).await.expect("hidden");
    core.delete(&bob, exact.id, false).await.expect("hidden");
    assert_eq!(counted(&core).await, (2000, 2000));
    core.delete(&ada, first.id, true).await.expect("deleted");
    core.delete(&ada, first.id, true).await.expect("deleted before");
    assert_eq!(counted(&core).await, (1400, 1400));
    upload(&core, &ada, &bob, "e.bin", &[0; 600]).await.expect("room again");
    let refused = upload(&core, &ada, &bob, "f.bin", b"x").await;
    assert_refused(refused, ErrorReason::StorageQuotaExceeded);
    assert_eq!(counted(&core).await, (2000, 2000));
}

#[tokio::test]
async fn what_was_stored_before_there_was_a_quota_counts() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let first = upload(&core, &ada, &bob, "a.bin", &[0; 700]).await.expect("stored");
    assert_eq!(counted(&core).await, (-1, 700));
    core.process.set("max-storage-per-user", "1000");
    core.terminate();
    assert_eq!(core.exit_code().await, Some(0));
    core.start_again().await;
    let refused = upload(&core, &ada, &bob, "b.bin", &[0; 301]).await;
    assert_refused(refused, ErrorReason::StorageQuotaExceeded);
    upload(&core, &ada, &bob, "c.bin", &[0; 300]).await.expect("room");
    assert_eq!(counted(&core).await, (1000, 1000));
    // A core without a quota keeps the counter true, as one of before does.
    core.process.unset("max-storage-per-user");
    core.kill_and_restart().await;
    core.delete(&ada, first.id, true).await.expect("deleted");
    upload(&core, &ada, &bob, "d.bin", &[0; 50]).await.expect("stored");
    assert_eq!(counted(&core).await, (350, 350));
    core.keeps_files(2).await;
}
