//! `AttachmentService`, the way in: `UploadAttachment` and `DispatchAttachment`.

use std::{collections::BTreeSet, path::PathBuf};

use bytes::Bytes;
use netrox_harness::{Store, eventually, within};
use netrox_proto::v1::{
    DispatchAttachmentRequest, DispatchAttachmentResponse, ErrorReason, Message, SentForm,
    UploadAttachmentRequest, UploadFinish, UploadStart, User, upload_attachment_request::Part,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    STORE,
    refusal::{assert_alike, assert_invalid, assert_refused},
    running::{Connection, Core, micros},
    send::malformed_ids,
    subscribe::Subscription,
};

const MAX_CHUNK_BYTES: usize = 256 * 1024;

pub(crate) fn start(sender: &str, file_name: &str) -> Part {
    Part::Start(UploadStart {
        sender_id: sender.into(),
        file_name: file_name.into(),
        ..Default::default()
    })
}

pub(crate) fn chunk(bytes: &[u8]) -> Part {
    Part::Chunk(Bytes::copy_from_slice(bytes))
}

pub(crate) fn finish(receiver: &str, body: &str) -> Part {
    Part::Finish(UploadFinish {
        receiver_id: receiver.into(),
        body: body.into(),
        ..Default::default()
    })
}

/// Sends these parts and half-closes.
async fn upload_parts(
    connection: &Connection,
    parts: Vec<Part>,
) -> Result<(Message, Vec<User>), Status> {
    let parts = parts.into_iter().map(|part| UploadAttachmentRequest { part: Some(part) });
    let parts = tokio_stream::iter(parts.collect::<Vec<_>>());
    let answer = within("an answer", connection.attachment().upload_attachment(parts)).await?;
    let answer = answer.into_inner();
    Ok((answer.message.expect("a message"), answer.users))
}

/// Uploads a file with the text "a file".
pub(crate) async fn upload(
    connection: &Connection,
    sender: &str,
    receiver: &str,
    file_name: &str,
    content: &[u8],
) -> Result<Message, Status> {
    let chunks = content.chunks(64 * 1024).map(chunk);
    let parts = std::iter::once(start(sender, file_name)).chain(chunks);
    let parts = parts.chain([finish(receiver, "a file")]).collect();
    upload_parts(connection, parts).await.map(|(message, _)| message)
}

async fn dispatch(
    connection: &Connection,
    sender: &str,
    message_id: i64,
) -> Result<DispatchAttachmentResponse, Status> {
    let request = DispatchAttachmentRequest { sender_id: sender.into(), message_id };
    connection.attachment().dispatch_attachment(request).await.map(Response::into_inner)
}

/// Every file that the core keeps beside its database.
fn kept_files(core: &Core) -> BTreeSet<PathBuf> {
    core.data_files().into_iter().filter(|path| !is_database(path)).collect()
}

fn is_database(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("chat.db"))
}

#[tokio::test]
async fn an_uploaded_file_is_a_message_that_waits_for_its_dispatch() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let parts = vec![
        start(&ada.to_uppercase(), "notes.TXT"),
        chunk(b"hello "),
        chunk(b""),
        chunk(b"world"),
        finish(&bob.to_uppercase(), " the notes\n"),
    ];
    let (message, users) = upload_parts(&core, parts).await.expect("stored");
    assert_eq!(users.iter().map(|user| &user.id).collect::<Vec<_>>(), [&ada, &bob]);
    assert_eq!((&message.sender_id, &message.receiver_id), (&ada, &bob));
    assert_eq!(message.body, " the notes\n");
    assert_eq!(message.created, message.updated);
    assert!(micros(&message.created.expect("an instant")) > 0);
    let attachment = message.attachment.clone().expect("a file");
    assert_eq!((attachment.file_name.as_str(), attachment.size), ("notes.TXT", 11));
    assert_eq!(attachment.dispatched, None);
    assert_path(&attachment.path, Some("txt"), &message);
    // History shows it at once, to both.
    for (reader, peer) in [(&ada, &bob), (&bob, &ada)] {
        assert_eq!(
            core.history(reader, peer).await.expect("a history"),
            std::slice::from_ref(&message)
        );
        assert_eq!(core.message(reader, message.id).await.expect("visible"), message);
    }
    assert_eq!(core.threads(&bob).await.expect("threads").len(), 1);
}

/// `attachments/YYYY/MM/DD/<uuid v4>[.<extension>]`, dated as the message.
#[track_caller]
fn assert_path(path: &str, extension: Option<&str>, message: &Message) {
    let [directory, year, month, day, name] = path.split('/').collect::<Vec<_>>()[..] else {
        panic!("{path}");
    };
    assert_eq!(directory, "attachments", "{path}");
    assert_eq!([year.len(), month.len(), day.len()], [4, 2, 2], "{path}");
    let days = message.created.expect("an instant").seconds / 86_400;
    assert_eq!(format!("{year}-{month}-{day}"), civil_date(days), "{path}");
    let (id, found) = match name.split_once('.') {
        Some((id, extension)) => (id, Some(extension)),
        None => (name, None),
    };
    assert_eq!(found, extension, "{path}");
    let uuid = Uuid::try_parse(id).expect("a UUID");
    assert_eq!(id, uuid.hyphenated().to_string(), "{path}");
    assert_eq!(uuid.get_version_num(), 4, "{path}");
}

/// The date of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_date(days: i64) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[tokio::test]
async fn the_media_type_is_sniffed_and_not_believed() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
    let files: [(&str, &[u8], &str); 5] = [
        ("a.png", png, "image/png"),
        ("a.html", png, "image/png"),
        ("a.pdf", b"%PDF-1.7\n", "application/pdf"),
        ("a.png", b"no image at all", "application/octet-stream"),
        ("a.jpg", b"", "application/octet-stream"),
    ];
    for (name, content, expected) in files {
        let message = upload(&core, &ada, &bob, name, content).await.expect("stored");
        assert_eq!(message.attachment.expect("a file").content_type, expected, "{name}");
    }
}

#[tokio::test]
async fn a_file_name_is_cleaned() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let long = "x".repeat(300);
    let umlauts = "\u{e4}".repeat(200);
    let cases = [
        ("photo.JPG", "photo.JPG", Some("jpg")),
        ("../../etc/passwd", "passwd", None),
        ("/absolute/name.txt", "name.txt", Some("txt")),
        ("C:\\dir\\name.txt", "name.txt", Some("txt")),
        ("a\0b\r\n\u{7f}\u{85}c.txt", "abc.txt", Some("txt")),
        ("/", "file", None),
        ("dir/", "file", None),
        ("\u{1}", "file", None),
        ("archive.tar.gz", "archive.tar.gz", Some("gz")),
        ("no extension", "no extension", None),
        ("ends.", "ends.", None),
        ("a.toolongextension", "a.toolongextension", None),
        ("a.j-g", "a.j-g", None),
        ("a.\u{e4}", "a.\u{e4}", None),
        ("\"quoted\"; x=y.txt", "\"quoted\"; x=y.txt", Some("txt")),
        ("\u{1f4c4} \u{65e5}\u{672c}.txt", "\u{1f4c4} \u{65e5}\u{672c}.txt", Some("txt")),
        (&long, &long[..255], None),
        (&umlauts, &umlauts[..254], None),
    ];
    for (given, kept, extension) in cases {
        let message = upload(&core, &ada, &bob, given, b"x").await.expect("stored");
        let attachment = message.attachment.clone().expect("a file");
        assert_eq!(attachment.file_name, kept, "{given:?}");
        assert_path(&attachment.path, extension, &message);
    }
    for dots in [".", "..", "...", "../.."] {
        let message = upload(&core, &ada, &bob, dots, b"x").await.expect("stored");
        let attachment = message.attachment.clone().expect("a file");
        assert!(!attachment.file_name.is_empty() && !attachment.file_name.contains('/'), "{dots}");
        assert_path(&attachment.path, None, &message);
    }
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_behind() {
    let settings = [("max-attachment-bytes", "1000"), ("max-body-bytes", "100")];
    let core = Core::start_with(&settings).await;
    let [ada, bob, gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let nobody = Uuid::new_v4().to_string();
    let before = kept_files(&core);
    let named = || start(&ada, "a.txt");
    let x = || chunk(b"x");
    let refused = [
        (vec![named(), x(), finish(&ada, "")], ErrorReason::ReceiverIsSender),
        (vec![named(), x(), finish(&ada.to_uppercase(), "")], ErrorReason::ReceiverIsSender),
        (vec![named(), x(), finish(&nobody, "")], ErrorReason::ReceiverUnknown),
        (vec![named(), x(), finish(&gone, "")], ErrorReason::ReceiverUnknown),
        (vec![start(&nobody, "a"), x(), finish(&bob, "")], ErrorReason::UserUnknown),
        (vec![start(&gone, "a"), x(), finish(&bob, "")], ErrorReason::UserDeleted),
        (vec![named(), chunk(&[0; 1001]), finish(&bob, "")], ErrorReason::AttachmentTooLarge),
        (
            vec![named(), chunk(&[0; 500]), chunk(&[0; 501]), finish(&bob, "")],
            ErrorReason::AttachmentTooLarge,
        ),
        (vec![named(), x(), finish(&bob, &"x".repeat(101))], ErrorReason::BodyTooLarge),
        // Out of the order "start, chunks, finish".
        (vec![], ErrorReason::InvalidField),
        (vec![x()], ErrorReason::InvalidField),
        (vec![finish(&bob, "")], ErrorReason::InvalidField),
        (vec![x(), named(), finish(&bob, "")], ErrorReason::InvalidField),
        (vec![named(), named(), x(), finish(&bob, "")], ErrorReason::InvalidField),
        (vec![named(), x(), named(), finish(&bob, "")], ErrorReason::InvalidField),
        // Without the end that makes it a message.
        (vec![named()], ErrorReason::InvalidField),
        (vec![named(), x()], ErrorReason::InvalidField),
    ];
    for (parts, reason) in refused {
        let what = format!("{parts:?}");
        let answer = upload_parts(&core, parts).await;
        assert!(answer.is_err(), "{what} was taken");
        assert_refused(answer, reason);
    }
    for malformed in malformed_ids(&ada) {
        let parts = vec![start(&malformed, "a"), x(), finish(&bob, "")];
        assert_invalid(upload_parts(&core, parts).await, "sender_id");
        let parts = vec![named(), x(), finish(&malformed, "")];
        assert_invalid(upload_parts(&core, parts).await, "receiver_id");
    }
    let parts = vec![start(&ada, ""), x(), finish(&bob, "")];
    assert_invalid(upload_parts(&core, parts).await, "file_name");
    let parts = vec![named(), x(), finish(&bob, "a\0b")];
    assert_invalid(upload_parts(&core, parts).await, "body");
    let nothing = tokio_stream::once(UploadAttachmentRequest { part: None });
    assert_refused(core.attachment().upload_attachment(nothing).await, ErrorReason::InvalidField);

    assert_eq!(core.history(&ada, &bob).await.expect("a history"), []);
    assert_eq!(core.threads(&ada).await.expect("threads"), []);
    eventually("the end of unfinished files", async || (kept_files(&core) == before).then_some(()))
        .await;

    // At the limits.
    let parts = vec![named(), chunk(&[0; 500]), chunk(&[0; 500]), finish(&bob, &"x".repeat(100))];
    let (message, _) = upload_parts(&core, parts).await.expect("stored");
    assert_eq!(message.attachment.expect("a file").size, 1000);
    let (message, _) = upload_parts(&core, vec![named(), finish(&bob, "")]).await.expect("stored");
    assert_eq!((message.attachment.expect("a file").size, message.body), (0, String::new()));
    core.keeps_files(2).await;
}

#[tokio::test]
async fn a_chunk_holds_at_most_256_kib() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let full = vec![7; MAX_CHUNK_BYTES];
    let parts = vec![start(&ada, "a"), chunk(&full), chunk(&full), finish(&bob, "")];
    let (message, _) = upload_parts(&core, parts).await.expect("stored");
    assert_eq!(message.attachment.expect("a file").size, 2 * MAX_CHUNK_BYTES as i64);
    let parts = vec![start(&ada, "a"), chunk(&vec![7; MAX_CHUNK_BYTES + 1]), finish(&bob, "")];
    assert_invalid(upload_parts(&core, parts).await, "chunk");
    core.keeps_files(1).await;
}

#[tokio::test]
async fn a_form_that_is_sent_again_is_answered_with_its_message() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let upload = |boundary: u8, content: &'static [u8]| {
        let form = SentForm { boundary: format!("boundary-{boundary}"), digest: content.into() };
        let mut finish = UploadFinish { receiver_id: bob.clone(), ..UploadFinish::default() };
        finish.form = Some(form);
        upload_parts(&core, vec![start(&ada, "a.txt"), chunk(b"content"), Part::Finish(finish)])
    };
    let (first, users) = upload(1, &[1; 16]).await.expect("stored");
    dispatch(&core, &ada, first.id).await.expect("dispatched");
    // As it was before it was dispatched.
    assert_eq!(upload(1, &[1; 16]).await.expect("found"), (first.clone(), users));
    let (other, _) = upload(2, &[1; 16]).await.expect("stored");
    assert_ne!(other.id, first.id);
    for content in [&[1; 15][..], &[1; 17], &[]] {
        assert_invalid(upload(3, content).await, "form");
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 2);
    core.keeps_files(2).await;
}

/// An upload whose client goes away in the middle.
#[tokio::test]
async fn a_cancelled_upload_leaves_nothing_behind() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let before = kept_files(&core);
    for file_parts in [0, 1, 40] {
        let (parts, receiver) = mpsc::channel(1);
        let connection = core.connect().await;
        let call = tokio::spawn(async move {
            connection.attachment().upload_attachment(ReceiverStream::new(receiver)).await
        });
        let send = async |part| {
            let request = UploadAttachmentRequest { part: Some(part) };
            within("room for a part", parts.send(request)).await.expect("an open upload");
        };
        send(start(&ada, "a.bin")).await;
        for _ in 0..file_parts {
            send(chunk(&[7; 100_000])).await;
        }
        call.abort();
        assert!(call.await.expect_err("aborted").is_cancelled());
    }
    // Also one that was complete but for its end.
    let parts = vec![start(&ada, "a.bin"), chunk(&[7; 100_000])];
    assert_refused(upload_parts(&core, parts).await, ErrorReason::InvalidField);
    eventually("the end of unfinished files", async || (kept_files(&core) == before).then_some(()))
        .await;
    assert_eq!(core.history(&ada, &bob).await.expect("a history"), []);
}

#[tokio::test]
async fn a_crash_during_an_upload_leaves_nothing_behind() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let kept = upload(&core, &ada, &bob, "kept.txt", b"kept").await.expect("stored");
    let before = kept_files(&core);
    let (parts, receiver) = mpsc::channel(1);
    let connection = core.connect().await;
    let call = tokio::spawn(async move {
        connection.attachment().upload_attachment(ReceiverStream::new(receiver)).await
    });
    for part in [start(&ada, "a.bin"), chunk(&[7; 200_000]), chunk(&[7; 200_000])] {
        let request = UploadAttachmentRequest { part: Some(part) };
        within("room for a part", parts.send(request)).await.expect("an open upload");
    }
    eventually("an unfinished file", async || (kept_files(&core) != before).then_some(())).await;
    core.kill_and_restart().await;
    call.await.expect("a task").expect_err("a broken call");
    if STORE == Store::Postgres {
        // Another core might still be at it, for as long as an upload may take.
        assert_ne!(kept_files(&core), before);
        core.process.database().age_unfinished_files().await;
        core.kill_and_restart().await;
    }
    eventually("the end of unfinished files", async || (kept_files(&core) == before).then_some(()))
        .await;
    assert_eq!(core.history(&bob, &ada).await.expect("a history"), [kept]);
}

#[tokio::test]
async fn a_dispatch_delivers_once() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut subscription = Subscription::open(&core, &bob).await;
    let file = upload(&core, &ada, &bob, "a.txt", b"x").await.expect("stored");
    let first = dispatch(&core, &ada, file.id).await.expect("dispatched");
    assert!(!first.already_dispatched);
    let dispatched = first.dispatched.expect("an instant");
    assert!(micros(&dispatched) >= micros(&file.created.expect("an instant")));
    let again = dispatch(&core, &ada.to_uppercase(), file.id).await.expect("repeated");
    assert_eq!((again.already_dispatched, again.dispatched), (true, Some(dispatched)));

    let delivered = subscription.message().await;
    let mut expected = file;
    expected.attachment.as_mut().expect("a file").dispatched = Some(dispatched);
    assert_eq!(delivered, expected);
    assert_eq!(core.message(&ada, expected.id).await.expect("visible"), expected);
    core.send(&ada, &bob, "fence").await.expect("stored");
    assert_eq!(subscription.message().await.body, "fence");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_dispatches_at_once_delivers() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut subscription = Subscription::open(&core, &bob).await;
    let file = upload(&core, &ada, &bob, "a.txt", b"x").await.expect("stored").id;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (connection, ada) = (core.connect().await, ada.clone());
        calls.spawn(async move { dispatch(&connection, &ada, file).await });
    }
    let mut instants = BTreeSet::new();
    let mut delivering = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.expect("a task").expect("dispatched");
        delivering += usize::from(!answer.already_dispatched);
        instants.insert(answer.dispatched.map(|at| micros(&at)));
    }
    assert_eq!((delivering, instants.len()), (1, 1));
    core.send(&ada, &bob, "fence").await.expect("stored");
    assert_eq!(subscription.message().await.id, file);
    assert_eq!(subscription.message().await.body, "fence");
}

#[tokio::test]
async fn only_the_sender_of_a_file_dispatches_it() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let file = upload(&core, &ada, &bob, "a.txt", b"x").await.expect("stored").id;
    let text = core.send(&ada, &bob, "a text").await.expect("stored").message_id;
    let nobody = Uuid::new_v4().to_string();
    let not_found = ErrorReason::MessageNotFound;
    for (sender, message_id) in [(&bob, file), (&cyd, file), (&ada, text), (&ada, file + 1_000)] {
        assert_refused(dispatch(&core, sender, message_id).await, not_found);
    }
    assert_refused(dispatch(&core, &nobody, file).await, ErrorReason::UserUnknown);
    for message_id in [0, -1, i64::MIN, i64::MAX, 1 << 53] {
        let code = dispatch(&core, &ada, message_id).await.expect_err("refused").code();
        assert!(matches!(code, tonic::Code::NotFound | tonic::Code::InvalidArgument), "{code:?}");
    }
    // Somebody else's looks like nobody's.
    assert_alike(dispatch(&core, &cyd, file).await, dispatch(&core, &cyd, file + 1_000).await);
    for malformed in malformed_ids(&ada) {
        assert_invalid(dispatch(&core, &malformed, file).await, "sender_id");
    }
    assert_eq!(
        core.message(&bob, file).await.expect("visible").attachment.expect("a file").dispatched,
        None
    );
}
