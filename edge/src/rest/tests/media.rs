use http::Method;
use netrox_proto::{time::timestamp, v1::Attachment};

use crate::{
    config::{Config, Limits, MediaAccess},
    stub_core::{StoredFile, config},
    stub_edge::{ALICE, BOB, StubEdge, bearer},
};

const FILE: &str = "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";
const URL: &str = "/mediafiles/attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";
const ETAG: &str = "\"4908f104-b77b-4677-b563-b693a893fef3.jpg\"";

async fn edge_with(content: &[u8], content_type: &str, access: MediaAccess) -> StubEdge {
    let config = Config { media_access: access, ..config(Limits::default()) };
    let edge = StubEdge::with(config).await;
    let file = StoredFile {
        attachment: Attachment {
            path: FILE.into(),
            file_name: "naïve.jpg".into(),
            size: i64::try_from(content.len()).expect("a size"),
            content_type: content_type.into(),
            dispatched: None,
        },
        created: timestamp(1_718_623_701_902_531),
        content: content.to_vec(),
        participants: vec![ALICE.into(), BOB.into()],
    };
    edge.core.state().files.insert(FILE.into(), file);
    edge
}

async fn edge() -> StubEdge {
    edge_with(b"0123456789", "image/jpeg", MediaAccess::Capability).await
}

#[tokio::test]
async fn an_empty_file_has_no_ranges() {
    let edge = edge_with(b"", "image/jpeg", MediaAccess::Capability).await;
    let answer = edge.get(URL, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
    assert_eq!(answer.headers["content-length"], "0");
    assert_eq!(edge.get(URL, &[("range", "bytes=0-")]).await.status, 416);
}

#[tokio::test]
async fn a_download_that_breaks_off_never_looks_whole() {
    let content = vec![7; 1_000_000];
    let edge = edge_with(&content, "image/jpeg", MediaAccess::Capability).await;
    edge.core.state().break_downloads_after = Some(300_000);
    let answer = edge.attempt(Method::GET, URL, &[], "").await;
    answer.expect_err("an answer that breaks off");

    // Before the first byte there is still a status to say so.
    edge.core.state().break_downloads_after = Some(0);
    let answer = edge.get(URL, &[]).await;
    answer.assert_refused(503, "Temporarily unavailable, try again");
}

#[tokio::test]
async fn a_file_that_is_not_the_wanted_one_is_not_served() {
    let edge = edge().await;
    let (etag, weak) = (ETAG, format!("W/{ETAG}"));
    let (before, after) = ("Mon, 17 Jun 2024 11:28:20 GMT", "Mon, 17 Jun 2024 11:28:21 GMT");
    for (headers, status) in [
        (&[("if-match", etag)][..], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", "\"other\", \"4908f104-b77b-4677-b563-b693a893fef3.jpg\"")], 200),
        (&[("if-match", "\"other\"")], 412),
        // Of strong validators alone.
        (&[("if-match", weak.as_str())], 412),
        (&[("if-match", "\"other\""), ("range", "bytes=0-1")], 412),
        (&[("if-match", etag), ("if-none-match", etag)], 304),
        (&[("if-match", etag), ("if-unmodified-since", before)], 200),
        (&[("if-unmodified-since", before)], 412),
        (&[("if-unmodified-since", after)], 200),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = edge.request(method.clone(), URL, headers, "").await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
        }
    }
    let answer = edge.get(URL, &[("if-match", "\"other\"")]).await;
    answer.assert_refused(412, "Precondition failed");
}

#[tokio::test]
async fn a_file_of_participants_is_asked_for_each_time() {
    let edge = edge_with(b"0123456789", "image/jpeg", MediaAccess::Participants).await;
    let alice = bearer(ALICE);
    let authorization = ("authorization", alice.as_str());
    for headers in [&[authorization][..], &[authorization, ("if-none-match", ETAG)]] {
        let answer = edge.get(URL, headers).await;
        assert_eq!(answer.headers["cache-control"], "private, no-cache");
        assert_eq!(answer.headers["vary"], "Authorization".to_lowercase());
    }
}

#[tokio::test]
async fn audio_and_video_may_load_themselves_and_run_nothing() {
    for (kind, is_played) in [("video/mp4", true), ("audio/mpeg", true), ("application/pdf", false)]
    {
        let edge = edge_with(b"0123456789", kind, MediaAccess::Capability).await;
        let answer = edge.get(URL, &[]).await;
        let policy = answer.headers["content-security-policy"].to_str().expect("ASCII");
        assert_eq!(
            policy.starts_with("sandbox allow-same-origin; "),
            is_played,
            "{kind}: {policy}"
        );
        assert!(policy.starts_with("sandbox") && !policy.contains("allow-scripts"), "{policy}");
    }
}
