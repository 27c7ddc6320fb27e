//! Files that messages refer to, and that are not there as they were.

use std::fs;

use netrox_harness::{
    Arrangement, Role, TestChat, User, alarms::Before, each, eventually, multipart::Form,
};
use netrox_proto::v1::{DownloadAttachmentRequest, ErrorReason, Failure};

use super::talk;

each![a_missing_file_is_not_found, a_truncated_file_is_not_given_as_whole];

/// The operator is told once by each core that was asked.
async fn told(chat: &TestChat, path: &str) {
    let path = path.strip_prefix("/mediafiles/").expect("the prefix");
    let lines = |core: &Role| {
        let lines = chat.log(*core).lines().into_iter();
        let lines = lines.filter(|line| line.contains("an attachment is damaged"));
        lines.collect::<Vec<_>>()
    };
    eventually("a line", async || {
        chat.core_roles().iter().any(|core| !lines(core).is_empty()).then_some(())
    })
    .await;
    for core in chat.core_roles() {
        let lines = lines(&core);
        assert!(lines.len() <= 1, "{lines:#?}");
        let is_error = |line: &String| line.contains("\"ERROR\"") && line.contains(path);
        assert!(lines.iter().all(is_error), "{lines:#?}");
    }
}

async fn refusal(chat: &TestChat, path: &str) -> ErrorReason {
    let path = path.strip_prefix("/mediafiles/").expect("the prefix").to_owned();
    let request = DownloadAttachmentRequest { path, ..Default::default() };
    let refused = chat.attachment_service().download_attachment(request).await;
    Failure::from(&refused.expect_err("refused")).reason()
}

async fn a_missing_file_is_not_found(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob, path) = talk(&chat).await;
    let [file] = &chat.media_files()[..] else { panic!("one file") };
    fs::remove_file(file).expect("removed");
    for edge in chat.edges() {
        for _ in 0..3 {
            edge.get(&path).send().await.assert_failure(404);
            assert_eq!(edge.request("HEAD", &path).send().await.status, 404);
            let part = edge.get(&path).header("range", "bytes=2-3").send().await;
            part.assert_failure(404);
        }
    }
    assert_eq!(refusal(&chat, &path).await, ErrorReason::AttachmentNotFound);
    told(&chat, &path).await;
    // Its message is there all the same.
    assert_eq!(chat.history(&ada, &bob).await.len(), 2);
    if arrangement == Arrangement::Serve {
        no_more_are_taken(&chat, &ada, &bob).await;
    }
}

/// While something else is in the place of the directory.
async fn no_more_are_taken(chat: &TestChat, from: &User, to: &User) {
    let media = chat.media_dir();
    let aside = media.with_extension("aside");
    let before = Before::of(chat).await;
    fs::rename(&media, &aside).expect("moved");
    fs::write(&media, "").expect("written");
    let form = || Form::new().text("receiver", &to.id).file("b.txt", "canary");
    chat.upload(from, form()).await.assert_failure(503);
    before.alarms(chat, &[], &["CoreTakesNoFiles"]).await;
    let log = chat.log(chat.core_role());
    log.counts("the media directory takes no files", 1).await;
    fs::remove_file(&media).expect("removed");
    fs::rename(&aside, &media).expect("moved");
    log.counts("the media directory takes files again", 1).await;
    chat.store(from, form()).await;
}

/// What is left of it is right, and is given to who asks for that alone.
async fn a_truncated_file_is_not_given_as_whole(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, _, path) = talk(&chat).await;
    let [file] = &chat.media_files()[..] else { panic!("one file") };
    fs::write(file, "01234").expect("truncated");
    let edge = chat.edge();
    edge.get(&path).send().await.assert_failure(404);
    assert_eq!(edge.request("HEAD", &path).send().await.status, 404);
    for range in ["bytes=3-8", "bytes=5-", "bytes=-2"] {
        edge.get(&path).header("range", range).send().await.assert_failure(404);
    }
    let part = edge.get(&path).header("range", "bytes=1-4").send().await;
    assert_eq!((part.status, part.text()), (206, "1234"));
    assert_eq!(refusal(&chat, &path).await, ErrorReason::AttachmentNotFound);
    told(&chat, &path).await;
}
