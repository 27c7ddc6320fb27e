use netrox_edge::config::UserIds;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{report::Report, rule::Known},
    *,
};

fn message(id: i64) -> Value {
    json!({ "id": id, "message": format!("canary {id}"), "seen": false, "deleted": false,
            "created": "2024-06-17T11:28:21.902531Z", "attached_file": null })
}

fn answer(messages: &[Value]) -> String {
    let whole = json!({ "entity": { "messages": messages }, "message": "M", "success": true });
    whole.to_string()
}

fn compared(original: &str, candidate: &str) -> (Report, AttachedList) {
    compared_with(original, candidate, true)
}

fn compared_with(original: &str, candidate: &str, needs_list: bool) -> (Report, AttachedList) {
    let user_ids = UserIds::Uuids { beside_mapped: false };
    let ledger = Ledger::new(Known { rules: Vec::new(), user_ids }, 1000, false);
    let windows = [(Side::Original, original), (Side::Candidate, candidate)]
        .map(|(side, text)| Window::new(side, Document::new(text.as_bytes(), LIST)));
    let at = Where::user("ada").with_peer("bob");
    let stop = CancellationToken::new();
    let attached = compare_windows(windows, needs_list, &at, &ledger, &stop).unwrap();
    (ledger.end(1, None), attached)
}

/// Message, kind and path of each difference.
fn found(original: &[Value], candidate: &[Value]) -> Vec<(String, String, String)> {
    let (report, _) = compared(&answer(original), &answer(candidate));
    let told = report.to_json();
    assert!(!told.to_string().contains("canary"), "{told}");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = told["first"].as_array().unwrap();
    first
        .iter()
        .map(|first| (word(&first["message"]), word(&first["kind"]), word(&first["path"])))
        .collect()
}

fn at(id: i64, kind: &str) -> (String, String, String) {
    (id.to_string(), kind.to_owned(), MESSAGE.to_owned())
}

#[test]
fn one_that_is_missing_does_not_make_others_differ() {
    let messages: Vec<_> = (1..=1000).map(message).collect();
    assert_eq!(found(&messages, &messages), vec![]);
    let mut fewer = messages.clone();
    fewer.remove(700);
    fewer.remove(0);
    assert_eq!(found(&messages, &fewer), vec![at(1, "missing"), at(701, "missing")]);
    assert_eq!(found(&fewer, &messages), vec![at(1, "extra"), at(701, "extra")]);
    assert_eq!(found(&messages, &messages[..998]), vec![at(999, "missing"), at(1000, "missing")]);
    assert_eq!(found(&[], &messages[..1]), vec![at(1, "extra")]);
    // Twice.
    let mut twice = messages.clone();
    twice.insert(5, message(5));
    assert_eq!(found(&messages, &twice), vec![at(5, "extra")]);
}

#[test]
fn what_was_moved_is_told_once_and_compared() {
    let messages: Vec<_> = (1..=1000).map(message).collect();
    for (from, to) in [(10, 20), (20, 10), (0, 999), (999, 0)] {
        let mut moved = messages.clone();
        let mut one = moved.remove(from);
        one["seen"] = json!(true);
        moved.insert(to, one);
        let id = from as i64 + 1;
        let seen = (id.to_string(), "value".to_owned(), format!("{MESSAGE}.seen"));
        assert_eq!(found(&messages, &moved), vec![at(id, "order"), seen], "{from} {to}");
    }
}

#[test]
fn each_message_is_held_against_the_one_of_its_id() {
    let messages: Vec<_> = (1..=3).map(message).collect();
    let mut other = messages.clone();
    other[1]["message"] = json!("canary, another");
    other[1]["created"] = json!("2024-06-17T11:28:21.902532Z");
    other[2]["seen"] = json!(null);
    let path = |id: i64, kind: &str, key: &str| {
        (id.to_string(), kind.to_owned(), format!("{MESSAGE}.{key}"))
    };
    let expected =
        [path(2, "value", "created"), path(2, "value", "message"), path(3, "type", "seen")];
    let mut found = found(&messages, &other);
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn files_of_both_are_to_be_compared() {
    let mut messages: Vec<_> = (1..=3).map(message).collect();
    messages[1]["attached_file"] = json!("/mediafiles/canary");
    let text = answer(&messages);
    let (report, attached) = compared(&text, &text);
    assert_eq!(report.to_json()["messages"], 3);
    let attached = attached.finish().unwrap().take(9).unwrap();
    let file = "/mediafiles/canary".to_owned();
    let expected =
        Attached { message: Some("2".to_owned()), original: file.clone(), candidate: file };
    assert_eq!(attached, [expected]);
}

#[test]
fn what_stands_around_is_compared_and_what_is_no_json_is_found() {
    let text = answer(&[message(1)]);
    for (other, difference) in [
        (text.replace("\"M\"", "\"N\""), Some(("value", "history.message"))),
        (text.replace(",\"success\":true", ""), Some(("missing", "history.success"))),
        (text.replace("\"messages\":", "\"message\":"), None),
        (text[..text.len() - 1].to_owned(), Some(("malformed", "history"))),
        (text[..30].to_owned(), Some(("malformed", "history"))),
        ("<html>".to_owned(), Some(("malformed", "history"))),
        (text.replace("false", "fals"), Some(("malformed", "history"))),
    ] {
        for (one, two) in [(&text, &other), (&other, &text)] {
            let told = compared(one, two).0.to_json();
            assert_ne!(told["differences"], 0, "{other}: {told}");
            assert_eq!(told["failures"], 0, "{other}: {told}");
            let Some((kind, path)) = difference else { continue };
            let by_path = told["by_path"].as_array().unwrap();
            let is_told = by_path.iter().any(|found| {
                let other_way = if kind == "missing" { "extra" } else { kind };
                found["path"] == path && (found["kind"] == kind || found["kind"] == other_way)
            });
            assert!(is_told, "{other}: {told}");
        }
        let both = compared(&other, &other).0.to_json();
        if matches!(difference, Some(("malformed", _))) {
            assert_eq!(both["failures"], 1, "nothing was compared: {both}");
        }
    }
}

#[test]
fn nothing_was_compared_without_a_list() {
    let told = |one: &str, two: &str, needs_list: bool| {
        let report = compared_with(one, two, needs_list).0.to_json();
        (report["verdict"].as_str().unwrap_or_default().to_owned(), report["failures"].clone())
    };
    let unfinished = ("unfinished".to_owned(), json!(1));
    for text in ["{}", "[]", "null", r#"{"detail":"canary"}"#, r#"{"entity":{"messages":null}}"#] {
        assert_eq!(told(text, text, true), unfinished, "{text}");
        // Of a user who is not there, no list is asked.
        assert_eq!(told(text, text, false), ("equal".to_owned(), json!(0)), "{text}");
        // One that has it is not the same as one that has not.
        for (one, two) in [(text, &*answer(&[])), (&*answer(&[]), text)] {
            assert_eq!(told(one, two, true), ("different".to_owned(), json!(0)), "{text}");
        }
    }
    assert_eq!(told(&answer(&[]), &answer(&[]), true), ("equal".to_owned(), json!(0)));
}

#[test]
fn what_has_no_id_is_not_told_in_its_place() {
    let without = json!({ "message": "canary", "attached_file": "/canary", "deleted": false });
    let odd = json!({ "id": { "text": "canary" }, "message": "canary", "attached_file": "/x" });
    for one in [without, odd] {
        let text = answer(std::slice::from_ref(&one));
        let (_, attached) = compared(&text, &text);
        let attached = attached.finish().unwrap().take(9).unwrap();
        assert!(attached.iter().all(|attached| attached.message.is_none()), "{attached:?}");
        assert_eq!(attached.len(), 1);
        let told = compared(&text, &answer(&[])).0.to_json().to_string();
        assert!(told.contains("missing") && !told.contains("canary"), "{told}");
    }
}

proptest! {
    #[test]
    fn no_list_is_taken_for_another(
        original in prop::collection::vec(1..40_i64, 0..60),
        candidate in prop::collection::vec(1..40_i64, 0..60),
    ) {
        let [one, two] = [&original, &candidate]
            .map(|ids| ids.iter().map(|id| message(*id)).collect::<Vec<_>>());
        let told = compared(&answer(&one), &answer(&two)).0.to_json();
        prop_assert_eq!(told["differences"] == 0, original == candidate, "{}", told);
        let count = |kind: &str| {
            let found = told["by_path"].as_array().unwrap().iter();
            let of_kind = found.filter(|found| found["kind"] == kind);
            of_kind.map(|found| found["differences"].as_u64().unwrap()).sum::<u64>()
        };
        let both = told["messages"].as_u64().unwrap();
        prop_assert_eq!(both + count("missing"), original.len() as u64);
        prop_assert_eq!(both + count("extra"), candidate.len() as u64);
    }
}
