use std::time::Duration;

use http::Method;
use netrox_proto::v1::{ErrorReason, Failure, UploadFinish, UploadStart};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::Answer,
    stub::Upload,
    world::{ALICE, BOB, World, bearer},
};

const PATH: &str = "/chat/chat-attachment/";
const TYPE: &str = "multipart/form-data; boundary=XX";

/// One part of a form: what stands after `form-data; ` and the content.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (disposition, content) in parts {
        form.extend_from_slice(
            format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n").as_bytes(),
        );
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--XX--\r\n");
    form
}

const RECEIVER: (&str, &[u8]) = ("name=\"receiver\"", BOB.as_bytes());
const MESSAGE: (&str, &[u8]) = ("name=\"message\"", "Grüße, this is my message".as_bytes());
const FILE: (&str, &[u8]) = ("name=\"attached_file\"; filename=\"a b.jpg\"", b"content\r\n--X");

async fn upload(world: &World, body: Vec<u8>) -> Answer {
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str()), ("content-type", TYPE)];
    world.request(Method::POST, PATH, &headers, body).await
}

/// Waits for the core to see the end of its first upload.
async fn first_upload(world: &World) -> Upload {
    let mut uploads = world.core.uploads.subscribe();
    let uploads = uploads.wait_for(|uploads| uploads.first().is_some_and(|upload| upload.is_over));
    uploads.await.expect("an upload")[0].clone()
}

#[tokio::test]
async fn a_file_is_stored_and_answered_as_documented() {
    let world = World::start().await;
    let answer = upload(&world, form(&[RECEIVER, MESSAGE, FILE])).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let user =
        |id: &str| format!(r#"{{"id":"{id}","email":"{}@example.com","profile":null}}"#, &id[..4]);
    let expected = format!(
        concat!(
            r#"{{"status":"success","entity":{{"message":{{"id":35,"sender":{},"receiver":{},"#,
            r#""attached_file_size":"0.01KB","message":"Grüße, this is my message","#,
            r#""updated":"2024-06-17T13:14:52.773727Z","created":"2024-06-17T13:14:52.773727Z","#,
            r#""seen":false,"deleted":false,"attached_file":"/mediafiles/attachments/2024/06/17/"#,
            r#"4908f104-b77b-4677-b563-b693a893fef3.jpg","attached_file_name":"a b.jpg","#,
            r#""thread":1}}}},"message":"File uploaded and chat created successfully","#,
            r#""success":true}}"#
        ),
        user(ALICE),
        user(BOB)
    );
    assert_eq!(answer.text(), expected);
    let start = UploadStart { sender_id: ALICE.into(), file_name: "a b.jpg".into() };
    let finish = UploadFinish {
        receiver_id: BOB.into(),
        body: "Grüße, this is my message".into(),
        form: None,
    };
    let upload = first_upload(&world).await;
    assert_eq!((upload.start, upload.finish), (Some(start), Some(finish)));
    assert_eq!(upload.content, FILE.1);
}

#[tokio::test]
async fn the_fields_come_in_any_order_beside_others() {
    let other = ("name=\"csrfmiddlewaretoken\"", &b"x"[..]);
    let other_file = ("name=\"other\"; filename=\"x\"", &b"never mind"[..]);
    for parts in [
        vec![FILE, MESSAGE, RECEIVER],
        vec![other, MESSAGE, FILE, other_file, RECEIVER],
        vec![RECEIVER, FILE],
        vec![FILE, RECEIVER, other, other],
    ] {
        let world = World::start().await;
        let answer = upload(&world, form(&parts)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let upload = first_upload(&world).await;
        assert_eq!(upload.content, FILE.1);
        let body = if parts.contains(&MESSAGE) { "Grüße, this is my message" } else { "" };
        assert_eq!(upload.finish.expect("a finish").body, body);
    }
}

#[tokio::test]
async fn a_large_file_goes_on_in_bounded_chunks() {
    let world = World::start().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let file = (FILE.0, content.as_slice());
    assert_eq!(upload(&world, form(&[file, RECEIVER])).await.status, 201);
    let upload = first_upload(&world).await;
    assert_eq!(upload.content, content);
    assert!(upload.largest_chunk <= 65_536, "{}", upload.largest_chunk);
}

#[tokio::test]
async fn an_empty_file_is_fine() {
    let world = World::start().await;
    let answer = upload(&world, form(&[RECEIVER, (FILE.0, b"")])).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["entity"]["message"]["attached_file_size"], "0.00KB");
}

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let alice_in_capitals = ALICE.to_uppercase();
    let too_long = "ü".repeat(8_193);
    let no_name = ("name=\"attached_file\"", &b"content"[..]);
    let empty_name = ("name=\"attached_file\"; filename=\"\"", &b"content"[..]);
    let receiver = |value: &'static [u8]| ("name=\"receiver\"", value);
    let message = |value: &'static [u8]| ("name=\"message\"", value);
    for (parts, status, refusal) in [
        (vec![FILE], 400, "receiver: This field is required"),
        (vec![RECEIVER, MESSAGE], 400, "attached_file: This field is required"),
        (vec![], 400, "receiver: This field is required"),
        (vec![RECEIVER, RECEIVER, FILE], 400, "receiver: Must not be repeated"),
        (vec![FILE, RECEIVER, MESSAGE, MESSAGE], 400, "message: Must not be repeated"),
        (vec![FILE, RECEIVER, FILE], 400, "attached_file: Must not be repeated"),
        (vec![RECEIVER, no_name], 400, "attached_file: Needs a file name"),
        (vec![RECEIVER, empty_name], 400, "attached_file: Needs a file name"),
        (vec![receiver(b"7"), FILE], 400, "receiver: Not a UUID"),
        (vec![FILE, receiver(b"")], 400, "receiver: Not a UUID"),
        (vec![FILE, receiver(&[b'x'; 10_000])], 400, "receiver: Not a UUID"),
        (
            vec![FILE, ("name=\"receiver\"", alice_in_capitals.as_bytes())],
            400,
            "receiver: Must not be the sender",
        ),
        (vec![FILE, RECEIVER, message(b"a\0b")], 400, "message: Must not contain NUL"),
        (vec![FILE, RECEIVER, message(b"\xff")], 400, "message: Not UTF-8"),
        (
            vec![FILE, RECEIVER, ("name=\"message\"", too_long.as_bytes())],
            400,
            "message: Longer than 16384 bytes",
        ),
        (
            vec![("filename=\"x\"", b"")],
            400,
            "A part's Content-Disposition is missing or malformed",
        ),
        (vec![("name=\"other\"", b""); 33], 400, "The form has too many parts"),
    ] {
        let world = World::start().await;
        upload(&world, form(&parts)).await.assert_refused(status, refusal);
        let uploads = world.core.uploads.borrow();
        assert!(uploads.iter().all(|upload| upload.finish.is_none()), "{refusal}");
    }
}

#[tokio::test]
async fn what_the_core_refuses_is_refused() {
    for (reason, status, refusal) in [
        (ErrorReason::ReceiverUnknown, 404, "Invalid receipient"),
        (ErrorReason::AttachmentTooLarge, 413, "The file is too large"),
        (ErrorReason::StoreUnavailable, 503, "Temporarily unavailable, try again"),
        (ErrorReason::UserUnknown, 503, "Temporarily unavailable, try again"),
    ] {
        let world = World::start().await;
        world.core.state().upload_failure = Some(Failure::new(reason, "why"));
        upload(&world, form(&[FILE, RECEIVER])).await.assert_refused(status, refusal);
    }
}

#[tokio::test]
async fn an_outcome_that_is_not_known_is_no_invitation_to_try_again() {
    let world = World::start().await;
    let reasoned = Failure::new(ErrorReason::StoreUnavailable, "why").into();
    for (end, status) in [
        (tonic::Status::unavailable("a broken connection"), 500),
        (tonic::Status::deadline_exceeded("late"), 500),
        (reasoned, 503),
    ] {
        world.core.state().upload_end = Some(end);
        let answer = upload(&world, form(&[FILE, RECEIVER])).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.text().contains("It may be stored"), status == 500);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
    }
    world.core.state().upload_end = None;
    world.core.state().upload_failure = None;
    assert_eq!(upload(&world, form(&[FILE, RECEIVER])).await.status, 201);
}

#[tokio::test]
async fn only_plain_multipart_is_taken() {
    let world = World::start().await;
    let alice = bearer(ALICE);
    for (headers, status, refusal) in [
        (vec![], 415, "The body must be multipart/form-data"),
        (vec![("content-type", "application/json")], 415, "The body must be multipart/form-data"),
        (
            vec![("content-type", "multipart/mixed; boundary=XX")],
            415,
            "The body must be multipart/form-data",
        ),
        (vec![("content-type", "multipart/form-data")], 400, "The multipart boundary is missing"),
        (
            vec![("content-type", TYPE), ("content-encoding", "gzip")],
            415,
            "The body must not have a Content-Encoding",
        ),
    ] {
        let headers = [vec![("authorization", alice.as_str())], headers].concat();
        let answer = world.request(Method::POST, PATH, &headers, form(&[RECEIVER, FILE])).await;
        answer.assert_refused(status, refusal);
    }
    for body in [&b"--XX"[..], b"no form at all", b"", b"--XX\r\nbad header\r\n\r\nx\r\n--XX--\r\n"]
    {
        let answer = upload(&world, body.to_vec()).await;
        answer.assert_refused(400, "The multipart body is malformed");
    }
}

#[tokio::test]
async fn headers_of_a_part_are_bounded() {
    let world = World::start().await;
    let mut endless = b"--XX\r\nContent-Disposition: form-data; name=\"".to_vec();
    endless.resize(1_000_000, b'x');
    upload(&world, endless).await.assert_refused(400, "A part's headers are too large");
}

#[tokio::test]
async fn too_large_a_file_is_refused_and_the_client_can_read_why() {
    let world = World::with_limits(|limits| limits.max_attachment_bytes = 100_000).await;
    let fitting = vec![b'x'; 100_000];
    assert_eq!(upload(&world, form(&[(FILE.0, &fitting), RECEIVER])).await.status, 201);
    for (size, refusal) in
        [(100_001, "The file is too large"), (8_000_000, "The form is too large")]
    {
        let answer = upload(&world, form(&[(FILE.0, &vec![b'x'; size]), RECEIVER])).await;
        answer.assert_refused(413, refusal);
    }
    let other = ("name=\"other\"", &[b'x'; 200_000][..]);
    let answer = upload(&world, form(&[other, FILE, RECEIVER])).await;
    answer.assert_refused(413, "The form is too large");
    let uploads = world.core.uploads.borrow();
    assert_eq!(uploads.iter().filter(|upload| upload.finish.is_some()).count(), 1);
}

/// The head of a request that announces `length` bytes.
fn head(length: usize) -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: edge\r\nauthorization: {}\r\ncontent-type: {TYPE}\r\n\
         content-length: {length}\r\n\r\n",
        bearer(ALICE)
    )
}

#[tokio::test]
async fn an_upload_that_is_cut_off_is_not_finished() {
    let world = World::start().await;
    let body = form(&[RECEIVER, FILE, MESSAGE]);
    let mut stream = TcpStream::connect(world.address).await.expect("a connection");
    stream.write_all(head(body.len()).as_bytes()).await.expect("sent");
    // All but the boundary that closes the form.
    stream.write_all(&body[..body.len() - 5]).await.expect("sent");
    let mut uploads = world.core.uploads.subscribe();
    let is_there = |uploads: &Vec<Upload>| uploads.iter().any(|upload| !upload.content.is_empty());
    uploads.wait_for(is_there).await.expect("an upload");
    drop(stream);
    let upload = first_upload(&world).await;
    assert_eq!(upload.finish, None);
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    let world =
        World::with_limits(|limits| limits.body_idle_timeout = Duration::from_millis(100)).await;
    let body = form(&[RECEIVER, FILE]);
    let mut stream = TcpStream::connect(world.address).await.expect("a connection");
    stream.write_all(head(body.len()).as_bytes()).await.expect("sent");
    stream.write_all(&body[..body.len() - 10]).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("closed in good order");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(first_upload(&world).await.finish, None);
}

#[tokio::test]
async fn uploads_at_a_time_are_limited_for_each_user() {
    let world = World::with_limits(|limits| limits.max_uploads_per_user = 1).await;
    let body = form(&[RECEIVER, FILE]);
    let mut stream = TcpStream::connect(world.address).await.expect("a connection");
    stream.write_all(head(body.len()).as_bytes()).await.expect("sent");
    stream.write_all(&body[..body.len() - 10]).await.expect("sent");
    let mut uploads = world.core.uploads.subscribe();
    uploads.wait_for(|uploads| !uploads.is_empty()).await.expect("an upload");

    upload(&world, body.clone()).await.assert_refused(429, "Too many requests at a time");

    stream.write_all(&body[body.len() - 10..]).await.expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 201");
    assert_eq!(upload(&world, body).await.status, 201);
}

#[tokio::test]
async fn the_answer_names_the_file_as_its_sender_did() {
    let world = World::start().await;
    for (file_name, expected) in [
        (r#"filename="naïve 👋.png""#, "naïve 👋.png"),
        (r#"filename*=UTF-8''%E2%82%AC.txt; filename="x.txt""#, "€.txt"),
        (r#"FILENAME="say %22hi%22.txt""#, "say \"hi\".txt"),
    ] {
        let disposition = format!("{file_name}; name=\"attached_file\"");
        let answer = upload(&world, form(&[(&disposition, b"x"), RECEIVER])).await;
        let message = &answer.json()["entity"]["message"];
        assert_eq!(message["attached_file_name"], json!(expected));
    }
}

#[tokio::test]
async fn a_name_with_control_characters_is_that_of_a_file() {
    let world = World::start().await;
    let file =
        ("name=\"attached_file\"; filename=\"a\u{1}\u{1b}[0m\u{7f}b.jpg\"", &b"\x01\x1b"[..]);
    let answer = upload(&world, form(&[RECEIVER, MESSAGE, file])).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let upload = first_upload(&world).await;
    assert_eq!(upload.start.expect("a start").file_name, "a[0mb.jpg");
    assert_eq!(upload.content, b"\x01\x1b");
}
