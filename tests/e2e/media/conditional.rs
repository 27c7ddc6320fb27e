//! Byte ranges and conditional requests (RFC 9110 sections 13 and 14).

use netrox_harness::{Arrangement, Response, TestChat, each};

use super::uploaded;

each![
    a_single_range_is_206,
    a_range_past_the_end_is_416,
    what_is_not_a_single_range_is_the_whole_file,
    an_unchanged_file_is_304,
    if_range_asks_for_the_range_of_the_same_file,
];

const CONTENT: &str = "0123456789";

async fn ranged(chat: &TestChat, path: &str, range: &str) -> Response {
    chat.get(path).header("range", range).send().await
}

async fn a_single_range_is_206(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.txt", CONTENT).await;
    let whole = chat.get(&path).send().await;
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    for (range, content, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=3-3", "3", "bytes 3-3/10"),
        ("bytes=5-", "56789", "bytes 5-9/10"),
        ("bytes=-4", "6789", "bytes 6-9/10"),
        ("bytes=-99", CONTENT, "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=0-18446744073709551615", CONTENT, "bytes 0-9/10"),
    ] {
        let answer = ranged(&chat, &path, range).await;
        assert_eq!(answer.status, 206, "{range}: {answer:?}");
        assert_eq!(answer.text(), content, "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range));
        assert_eq!(answer.header("content-length"), Some(&*content.len().to_string()));
        for name in ["etag", "content-type", "cache-control", "content-security-policy"] {
            assert_eq!(answer.header(name), whole.header(name), "{name} of {range}");
        }
    }
}

async fn a_range_past_the_end_is_416(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.txt", CONTENT).await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=9223372036854775808-"] {
        let answer = ranged(&chat, &path, range).await;
        answer.assert_failure(416);
        assert_eq!(answer.header("content-range"), Some("bytes */10"), "{range}");
    }
}

async fn what_is_not_a_single_range_is_the_whole_file(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.txt", CONTENT).await;
    for range in ["bytes=0-1,4-5", "bytes=5-3", "bytes=a-b", "bytes=", "bytes=-", "items=0-3", ""] {
        let answer = ranged(&chat, &path, range).await;
        assert_eq!((answer.status, answer.text()), (200, CONTENT), "{range}: {answer:?}");
    }
}

async fn an_unchanged_file_is_304(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.txt", CONTENT).await;
    let whole = chat.get(&path).send().await;
    let etag = whole.header("etag").expect("an entity tag").to_owned();
    for known in [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
        let answer = chat.get(&path).header("if-none-match", &known).send().await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}: {answer:?}");
        assert_eq!(answer.header("etag"), Some(&*etag));
        assert_eq!(answer.header("cache-control"), whole.header("cache-control"));
        // A condition comes before a range.
        let request = chat.get(&path).header("if-none-match", &known).header("range", "bytes=0-1");
        assert_eq!(request.send().await.status, 304);
    }
    let answer = chat.get(&path).header("if-none-match", "\"other\"").send().await;
    assert_eq!((answer.status, answer.text()), (200, CONTENT));
    let other = uploaded(&chat, "a.txt", CONTENT).await;
    assert_eq!(chat.get(&other).header("if-none-match", &etag).send().await.status, 200);
    let head = chat.edge().request("HEAD", &path).header("if-none-match", &etag).send().await;
    assert_eq!(head.status, 304);
}

async fn if_range_asks_for_the_range_of_the_same_file(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.txt", CONTENT).await;
    let whole = chat.get(&path).send().await;
    let etag = whole.header("etag").expect("an entity tag").to_owned();
    for (known, status, content) in [
        (etag.as_str(), 206, "0123"),
        ("\"other\"", 200, CONTENT),
        // A weak tag never matches here.
        (&format!("W/{etag}"), 200, CONTENT),
    ] {
        let request = chat.get(&path).header("range", "bytes=0-3").header("if-range", known);
        let answer = request.send().await;
        assert_eq!((answer.status, answer.text()), (status, content), "{known}: {answer:?}");
    }
}
