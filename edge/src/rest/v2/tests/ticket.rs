//! Tickets, and links to files.

use netrox_proto::{time::timestamp, v1::Attachment};
use serde_json::json;

use super::*;
use crate::{
    config::{Config, Limits, MediaAccess},
    stub_core::{StoredFile, config, ticket},
};

const FILE: &str = "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";
const URL: &str = "/mediafiles/attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";

async fn edge_with_file(media_access: MediaAccess) -> StubEdge {
    let edge = StubEdge::with(Config { media_access, ..config(Limits::default()) }).await;
    put_file(&edge);
    edge
}

fn put_file(edge: &StubEdge) {
    let file = StoredFile {
        attachment: Attachment {
            path: FILE.into(),
            file_name: "a.jpg".into(),
            size: 10,
            content_type: "image/jpeg".into(),
            dispatched: None,
        },
        created: timestamp(1_718_623_701_902_531),
        content: b"0123456789".to_vec(),
        participants: vec![ALICE.into()],
    };
    edge.core.state().files.insert(FILE.into(), file);
}

async fn ask(edge: &StubEdge, body: impl Into<Bytes>) -> Answer {
    alice(edge, Method::POST, "/v2/ticket", body).await
}

async fn link(edge: &StubEdge) -> String {
    let answer = ask(edge, json!({"path": URL}).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.json();
    assert_eq!(answer["expires_in_s"], 300);
    answer["url"].as_str().expect("a path").to_owned()
}

#[tokio::test]
async fn a_ticket_is_for_a_websocket_unless_a_file_is_named() {
    let edge = edge_with_file(MediaAccess::Capability).await;
    for body in ["", "{}", r#"{"path":null,"unknown":1}"#] {
        let answer = ask(&edge, body).await.json();
        assert_eq!(answer["expires_in_s"], 30, "{body}");
        assert!(answer["ticket"].is_string() && answer.get("url").is_none(), "{answer}");
    }
    assert_eq!(link(&edge).await, format!("{URL}?signature={}", ticket(3)));
    let made = edge.core.state().tickets.made[3].clone();
    assert_eq!((made.user_id.as_str(), made.path.as_deref()), (ALICE, Some(FILE)));
    assert_eq!(made.token_expires.expect("a time").seconds, 9_999_999_999);
    let token = made.token.expect("a mark");
    assert!(token.issued_at.is_none() && token.names.is_empty(), "{token:?}");
}

#[tokio::test]
async fn what_is_no_file_of_theirs_is_not_found() {
    let edge = edge_with_file(MediaAccess::Capability).await;
    for path in [
        "",
        FILE,
        "/mediafiles/attachments/2024/06/17/x.jpg",
        &URL.replace("4908", "5908"),
        &format!("{URL}?signature=x"),
        &format!("https://example.com{URL}"),
    ] {
        let answer = ask(&edge, json!({"path": path}).to_string()).await;
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (404, "not_found"), "{path}");
    }
    edge.core.change(|state| {
        let file = state.files.get_mut(FILE).expect("a file");
        file.participants = vec![BOB.into()];
    });
    assert_eq!(ask(&edge, json!({"path": URL}).to_string()).await.status, 404);
    for (body, refused) in [(r#"{"path":7}"#, "invalid_field"), ("[]", "invalid_json")] {
        let answer = ask(&edge, body).await;
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (400, refused));
    }
    let token = bearer(ALICE);
    for (headers, body, status) in [
        (vec![("authorization", &*token), ("content-type", "text/plain")], "{}", 415),
        (vec![("authorization", &*token)], "{}", 415),
        (vec![("authorization", &*token), ("content-type", "text/plain")], "", 200),
        (vec![], "", 401),
    ] {
        let answer = edge.request(Method::POST, "/v2/ticket/", &headers, body).await;
        assert_eq!(answer.status, status, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn a_link_is_good_for_any_reader_and_any_range_as_long_as_its_user_is_shown_the_file() {
    for access in [MediaAccess::Capability, MediaAccess::Participants] {
        let edge = edge_with_file(access).await;
        let link = link(&edge).await;
        for range in 0..10 {
            let wanted = format!("bytes={range}-{range}");
            let answer = edge.get(&link, &[("range", &wanted)]).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (206, &*range.to_string()));
            assert_eq!(answer.headers["cache-control"], "private, no-cache");
        }
        let answer = edge.get(&format!("{URL}?x=1&signature={}", ticket(0)), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "0123456789"));
        for wrong in [ticket(1), format!("{}x", ticket(0))] {
            let answer = edge.get(&format!("{URL}?signature={wrong}"), &[]).await;
            answer.assert_refused(404, "Not found");
        }
        // What is no signature is a parameter like any.
        for other in ["", "v4", "a.b", &"a".repeat(512)] {
            let status = edge.get(&format!("{URL}?signature={other}"), &[]).await.status.as_u16();
            let expected = if access == MediaAccess::Capability { 200 } else { 404 };
            assert_eq!(status, expected, "{other}");
        }
        let other = link.replace("4908", "5908");
        assert_eq!(edge.get(&other, &[]).await.status, 404, "of another file");
        // Where it counts who reads, a header says so before it.
        let strange = bearer(STRANGER);
        let status = edge.get(&link, &[("authorization", &strange)]).await.status.as_u16();
        assert_eq!(status, if access == MediaAccess::Capability { 200 } else { 404 });
        let plain = edge.get(URL, &[]).await.status.as_u16();
        assert_eq!(plain, if access == MediaAccess::Capability { 200 } else { 404 }, "as before");
        // Its user is not shown it any more.
        edge.core.change(|state| {
            state.files.get_mut(FILE).expect("a file").participants = vec![BOB.into()];
        });
        assert_eq!(edge.get(&link, &[]).await.status, 404);
    }
}

#[tokio::test]
async fn a_ticket_for_a_websocket_signs_no_file() {
    let edge = edge_with_file(MediaAccess::Capability).await;
    ask(&edge, "").await;
    assert_eq!(edge.get(&format!("{URL}?signature={}", ticket(0)), &[]).await.status, 404);
}

#[tokio::test]
async fn tickets_are_bought_as_often_as_sockets_may_be_opened() {
    let edge = edge_with_file(MediaAccess::Capability).await;
    let mut bought = 0;
    let refused = loop {
        let answer = ask(&edge, "").await;
        if answer.status != 200 {
            break answer;
        }
        bought += 1;
        assert!(bought < 10_000, "without an end");
    };
    assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (429, "rate_limited"));
    assert!(refused.headers.contains_key("retry-after"));
    assert!(bought > 1, "{bought}");
    assert_eq!(edge.core.state().tickets.made.len(), bought);
    // Links are no sockets.
    link(&edge).await;
}

#[tokio::test]
async fn a_link_is_not_told_by_a_core_of_before_or_one_that_is_away() {
    let edge = edge_with_file(MediaAccess::Participants).await;
    let link = link(&edge).await;
    for failure in
        [tonic::Status::unimplemented("of the last version"), tonic::Status::unavailable("away")]
    {
        edge.core.change(|state| state.tickets.failure = Some(failure));
        assert_eq!(edge.get(&link, &[]).await.status, 503);
    }
    assert_eq!(edge.get(&link, &[]).await.status, 200);
}

#[tokio::test]
async fn downloads_by_a_link_take_no_places_of_its_user() {
    // They have none.
    let limits = Limits { max_downloads_per_user: 0, ..Limits::default() };
    let media_access = MediaAccess::Participants;
    let edge = StubEdge::with(Config { media_access, ..config(limits) }).await;
    put_file(&edge);
    let link = link(&edge).await;
    assert_eq!(edge.get(&link, &[]).await.status, 200);
    let token = bearer(ALICE);
    assert_eq!(edge.get(URL, &[("authorization", &token)]).await.status, 429);
}
