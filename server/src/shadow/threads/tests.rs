use std::io::{Seek as _, Write as _};

use serde_json::{Value, json};

use super::{
    super::{report::Report, rule::Known},
    *,
};

fn id(number: i64) -> String {
    format!("a11ce000-0000-4000-8000-{number:012}")
}

fn thread(number: i64, one: &Value, two: &Value) -> Value {
    json!({ "id": number, "user_one": { "id": one, "email": "canary" },
            "user_two": { "id": two, "email": "canary" }, "craeted": "2024-06-17T11:28:21.9Z" })
}

fn answer(threads: &[Value]) -> String {
    json!({ "entity": threads, "message": null, "success": true }).to_string()
}

fn compared(user_ids: &UserIds, answers: [&str; 2]) -> (Report, Vec<Peer>) {
    let known = Known { rules: Vec::new(), user_ids: user_ids.clone() };
    let ledger = Ledger::new(known, 1000, false);
    let files = answers.map(|text| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    });
    let candidate_id = user_ids.id_of(&id(0)).unwrap().to_string();
    let user = Named { id: id(0), candidate_id, token: None };
    let peers = compare_threads(files, &user, user_ids, &ledger).unwrap();
    (ledger.end(1, None), peers)
}

const UUIDS: UserIds = UserIds::Uuids { beside_mapped: false };

#[test]
fn threads_are_found_by_their_ids_in_any_order() {
    let thread = |number: i64| match number % 2 {
        0 => thread(number, &id(0).into(), &id(number).into()),
        _ => thread(number, &id(number).to_uppercase().into(), &id(0).into()),
    };
    let all = [thread(1), thread(2), thread(3)];
    let text = answer(&all);
    let (report, peers) = compared(&UUIDS, [&text, &text]);
    let told = report.to_json();
    assert_eq!((&told["threads"], &told["differences"]), (&json!(3), &json!(0)), "{told}");
    let peer = |number: i64| Peer { original: id(number), candidate: id(number) };
    let originals: Vec<_> = peers.iter().map(|peer| peer.candidate.clone()).collect();
    assert_eq!(originals, [1, 2, 3].map(|number| peer(number).candidate));

    let other = answer(&[thread(3), thread(1), thread(4)]);
    let (report, peers) = compared(&UUIDS, [&text, &other]);
    let told = report.to_json();
    assert_eq!(told["threads"], 2);
    let by_path = json!([
        { "path": THREAD, "kind": "missing", "differences": 1, "allowed": 0 },
        { "path": THREAD, "kind": "extra", "differences": 1, "allowed": 0 },
        { "path": THREAD, "kind": "order", "differences": 0, "allowed": 1 },
    ]);
    assert_eq!(told["by_path"], by_path);
    assert_eq!(told["first"][0]["thread"], "2");
    assert_eq!(told["first"][1]["thread"], "4");
    assert!(!told.to_string().contains("canary"), "{told}");
    assert_eq!(peers.len(), 4);
}

#[test]
fn ids_that_are_mapped_are_found_at_the_candidate() {
    let user_ids = UserIds::mapped(String::new(), uuid::Uuid::from_u128(1)).unwrap();
    let mapped = |id: &str| Value::from(user_ids.id_of(id).unwrap().to_string());
    let own = id(0);
    let original = answer(&[thread(1, &json!(17), &own.as_str().into())]);
    let candidate = answer(&[thread(1, &mapped("17"), &mapped(&own))]);
    let (report, peers) = compared(&user_ids, [&original, &candidate]);
    let told = report.to_json();
    assert_eq!((&told["differences"], &told["allowed"]), (&json!(0), &json!(2)), "{told}");
    let candidate = user_ids.id_of("17").unwrap().to_string();
    assert_eq!(peers, [Peer { original: "17".to_owned(), candidate }]);
}

#[test]
fn a_thread_without_an_id_is_not_told_in_its_place() {
    for without in [json!({ "text": "canary" }), json!({ "id": ["canary"], "user_one": null })] {
        let text = answer(&[without]);
        for other in [text.clone(), answer(&[]), text.replace("canary", "canary, too")] {
            for (one, two) in [(&text, &other), (&other, &text)] {
                let told = compared(&UUIDS, [one, two]).0.to_json();
                assert_ne!(told["verdict"], "equal", "{told}");
                assert!(!told.to_string().contains("canary"), "{told}");
            }
        }
    }
}

#[test]
fn nothing_was_compared_without_a_list() {
    for text in ["{}", r#"{"detail":"canary"}"#, r#"{"entity":null}"#] {
        let told = compared(&UUIDS, [text, text]).0.to_json();
        assert_eq!((&told["verdict"], &told["failures"]), (&json!("unfinished"), &json!(1)));
        let told = compared(&UUIDS, [text, &answer(&[])]).0.to_json();
        assert_eq!(told["verdict"], "different", "{told}");
    }
    let none = answer(&[]);
    assert_eq!(compared(&UUIDS, [&none, &none]).0.to_json()["verdict"], "equal");
}

#[test]
fn what_does_not_tell_with_whom_it_is_cannot_be_compared() {
    let text = answer(&[json!({ "id": 1, "user_one": null })]);
    let (report, peers) = compared(&UUIDS, [&text, &text]);
    let told = report.to_json();
    assert!(told["failures"].as_u64() > Some(0) && peers.is_empty(), "{told}");
    let (report, _) = compared(&UUIDS, [&text, "<html>"]);
    let told = report.to_json();
    assert_eq!(told["by_path"][0]["kind"], "malformed", "{told}");
}
