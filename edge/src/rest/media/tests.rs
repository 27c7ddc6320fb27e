use proptest::prelude::*;

use super::*;

const UUID: &str = "4908f104-b77b-4677-b563-b693a893fef3";

#[test]
fn a_path_of_the_core_is_below_the_prefix_alone() {
    let path = format!("attachments/2024/14/17/{UUID}.jpg");
    assert_eq!(core_path(&format!("/mediafiles/{path}")), Some(&*path));
    for other in [
        format!("/mediafiles//{path}"),
        format!("/mediafiles/{path}/"),
        format!("/media/{path}"),
        path,
    ] {
        assert_eq!(core_path(&other), None, "{other}");
    }
}

#[test]
fn nothing_that_a_browser_would_run_is_inline() {
    for content_type in ["image/png", "image/webp", "audio/mpeg", "video/mp4", "application/pdf"] {
        assert!(is_shown_inline(content_type), "{content_type}");
    }
    for content_type in [
        "image/svg+xml",
        "text/html",
        "text/xml",
        "application/xml",
        "application/octet-stream",
        "text/plain",
        "",
    ] {
        assert!(!is_shown_inline(content_type), "{content_type}");
    }
}

fn request(headers: &[(HeaderName, &str)]) -> HeaderMap {
    let value = |text: &str| HeaderValue::from_str(text).expect("a header value");
    headers.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

fn version() -> Version {
    // 2024-06-17T11:28:21.902531Z
    Version::new(&format!("attachments/2024/06/17/{UUID}.jpg"), 1_718_623_701_902_531)
        .expect("a version")
}

#[test]
fn conditions_are_met_as_rfc_9110_says() {
    let etag = format!("\"{UUID}.jpg\"");
    let same = "Mon, 17 Jun 2024 11:28:21 GMT";
    let earlier = "Mon, 17 Jun 2024 11:28:20 GMT";
    for (headers, is_current) in [
        (vec![], false),
        (vec![(header::IF_NONE_MATCH, etag.as_str())], true),
        (vec![(header::IF_NONE_MATCH, "\"other\"")], false),
        (vec![(header::IF_NONE_MATCH, "*")], true),
        (vec![(header::IF_MODIFIED_SINCE, same)], true),
        (vec![(header::IF_MODIFIED_SINCE, earlier)], false),
        (vec![(header::IF_MODIFIED_SINCE, "yesterday")], false),
        // The tag decides where both are given.
        (vec![(header::IF_NONE_MATCH, "\"other\""), (header::IF_MODIFIED_SINCE, same)], false),
    ] {
        assert_eq!(version().is_current(&request(&headers)), is_current, "{headers:?}");
    }
    for (headers, may_be_continued) in [
        (vec![], true),
        (vec![(header::IF_RANGE, etag.as_str())], true),
        (vec![(header::IF_RANGE, "\"other\"")], false),
        (vec![(header::IF_RANGE, same)], true),
        (vec![(header::IF_RANGE, earlier)], false),
        (vec![(header::IF_RANGE, "nonsense")], false),
    ] {
        let request = request(&headers);
        assert_eq!(version().may_be_continued(&request), may_be_continued, "{headers:?}");
    }
}

proptest! {
    #[test]
    fn what_is_a_path_holds_no_surprise(path in "/mediafiles/attachments/[0-9/a-f.%-]{0,80}") {
        if let Some(found) = core_path(&path) {
            prop_assert!(!found.contains("..") && !found.contains('%'));
            prop_assert_eq!(found.split('/').count(), 5);
        }
    }
}
