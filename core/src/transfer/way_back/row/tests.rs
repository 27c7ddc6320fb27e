use serde_json::{Value, json};

use super::{super::fate::Fate, *};
use crate::original::{FileColumns, OriginalFile, OriginalMessage, OriginalUserId};

const ADA: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
/// Of `line`.
const CREATED: i64 = 1_718_623_701_902_531;
const PATH: &str = "attachments/2024/14/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";

fn line(more: &Value) -> MessageLine {
    let mut line = json!({ "type": "message", "id": 30, "thread_id": 1, "sender_id": ADA,
        "receiver_id": BOB, "created": "2024-06-17T11:28:21.902531Z", "body": "hello" });
    let fields = line.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    serde_json::from_value(line).expect("a line")
}

fn attachment() -> Value {
    json!({ "attachment": { "path": PATH, "file_name": "a.jpg", "size": 88_812,
        "content_type": "image/jpeg" } })
}

fn was(message: &str, seen: bool, deleted: bool, file: Option<OriginalFile>) -> Was {
    let user = |id: &str| id.parse::<OriginalUserId>().expect("an id");
    let (created, updated) = (CREATED, CREATED);
    let columns = match &file {
        Some(OriginalFile { path, name, size_text }) => FileColumns {
            path: Some(path.clone()),
            name: name.clone(),
            size_text: size_text.clone(),
        },
        None => FileColumns::default(),
    };
    let (sender_id, receiver_id) = (user(ADA), user(BOB));
    let message = message.to_owned();
    let (id, thread_id) = (30, 1);
    Was::of(OriginalMessage {
        id,
        thread_id,
        sender_id,
        receiver_id,
        message,
        file,
        seen,
        deleted,
        created,
        updated,
        columns,
    })
}

fn fate(line: &MessageLine, was: Option<&Was>, seen: bool) -> Fate {
    let [ada, bob] = [ADA, BOB].map(str::to_owned);
    Fate::of(line, was, [Some(&ada), Some(&bob)], seen)
}

fn printed(line: &MessageLine, was: Option<&Was>, seen: bool) -> Value {
    let key = |id| UserKey { kind: OriginalUserIds::Uuids, id };
    let mapping = Mapping::default();
    let row = message(&mapping, line, was, [key(ADA), key(BOB)], seen).expect("a row");
    serde_json::to_value(&row).expect("JSON")
}

#[test]
fn only_what_differs_goes_back() {
    let plain = line(&json!({}));
    let changed = line(&json!({ "body": "hullo", "updated": "2024-06-17T11:28:21.902532Z" }));
    let deleted = line(&json!({ "body": "", "deleted": true }));
    let swallowed = line(&json!({ "swallowed": true }));
    let removed = line(&json!({ "body": "", "deleted": true, "removed": true }));
    let unread = Was::unread(30);
    for (line, was, seen, expected) in [
        (&plain, None, false, Fate::New),
        (&deleted, None, false, Fate::New),
        (&plain, Some(&was("hello", false, false, None)), false, Fate::Same),
        (&plain, Some(&was("hello", false, false, None)), true, Fate::Changed),
        (&plain, Some(&was("hello", true, false, None)), true, Fate::Same),
        (&plain, Some(&was("hello", true, false, None)), false, Fate::Same),
        (&changed, Some(&was("hello", false, false, None)), false, Fate::Changed),
        (&deleted, Some(&was("hello", false, false, None)), false, Fate::Changed),
        (&deleted, Some(&was("hello", false, true, None)), true, Fate::Same),
        (&swallowed, None, false, Fate::Swallowed),
        (&removed, Some(&was("hello", false, false, None)), false, Fate::Removed),
        (&removed, None, false, Fate::Removed),
        (&changed, Some(&unread), true, Fate::Unread),
    ] {
        assert_eq!(fate(line, was, seen), expected, "{line:?} {was:?} {seen}");
    }
}

#[test]
fn what_the_original_has_by_itself_stays() {
    let plain = line(&json!({}));
    let known = was("hello", false, false, None);
    assert_eq!(fate(&plain, Some(&known), false), Fate::Same);
    // Another message of this id, though it says the same.
    let of_another = |more: fn(&mut Was)| {
        let mut other = known.clone();
        more(&mut other);
        other
    };
    for other in [
        of_another(|was| was.thread_id = 2),
        of_another(|was| (was.sender, was.receiver) = (BOB.to_owned(), ADA.to_owned())),
        of_another(|was| was.receiver = was.sender.clone()),
        of_another(|was| was.created += 1),
        of_another(|was| was.created += 1_000),
        of_another(|was| (was.created, was.deleted) = (CREATED - 1_000_000, true)),
    ] {
        assert_eq!(fate(&plain, Some(&other), true), Fate::Other, "{other:?}");
    }
    // Whom the original has no name for here cannot be told from another.
    let named = Fate::of(&plain, Some(&known), [None, None], false);
    assert_eq!(named, Fate::Same);

    let edited = line(&json!({ "body": "hullo", "updated": "2024-06-17T11:28:21.904Z" }));
    let deleted = json!({ "body": "", "deleted": true, "updated": "2024-06-17T11:28:21.904Z" });
    let deleted = line(&deleted);
    let held = json!({ "body": "edited", "updated": "2024-06-18T00:00:00Z", "receiver_sees":
        { "body": "hullo", "updated": "2024-06-17T11:28:21.904Z" } });
    let held = line(&held);
    let at = |updated: i64| Was { updated, ..was("hi", false, false, None) };
    let ours = CREATED / 1_000 * 1_000 + 2_000;
    for (updated, of_edited, of_deleted) in [
        (CREATED, Fate::Changed, Fate::Changed),
        (ours - 1, Fate::Changed, Fate::Changed),
        // By Django's `update()`.
        (ours, Fate::Newer, Fate::Changed),
        // One of them was cut off.
        (ours + 999, Fate::Newer, Fate::Changed),
        (ours + 1_000, Fate::Newer, Fate::Newer),
    ] {
        let was = at(updated);
        assert_eq!(fate(&edited, Some(&was), false), of_edited, "{updated}");
        assert_eq!(fate(&deleted, Some(&was), false), of_deleted, "{updated}");
        assert_eq!(fate(&held, Some(&was), false), of_edited, "{updated}");
        assert_eq!(fate(&plain, Some(&was), true), Fate::Newer, "{updated}");
    }
    // Of the same text it may say what it likes.
    let later = Was { updated: ours + 9_000, ..was("hullo", false, false, None) };
    assert_eq!(fate(&edited, Some(&later), false), Fate::Same);
    assert_eq!(fate(&edited, Some(&later), true), Fate::Changed);
}

#[test]
fn times_stay_as_fine_as_either_has_them() {
    let at = |line: &MessageLine, created: i64, updated: i64| {
        let was = Was { created, updated, ..was("hi", false, false, None) };
        let row = printed(line, Some(&was), true);
        ["created", "updated"].map(|name| row["fields"][name].as_str().unwrap_or("").to_owned())
    };
    let cut = CREATED / 1_000 * 1_000;
    let ours = line(&json!({ "updated": "2024-06-17T11:28:22.000001Z" }));
    let ours_cut = line(&json!({ "created": "2024-06-17T11:28:21.902Z" }));
    let (fine, later) = ("2024-06-17T11:28:21.902531Z", "2024-06-17T11:28:22.000001Z");
    assert_eq!(at(&ours, cut, cut), [fine, later]);
    assert_eq!(at(&ours, CREATED, CREATED + 1_000_000), [fine, "2024-06-17T11:28:22.902531Z"]);
    assert_eq!(at(&ours_cut, CREATED, CREATED), [fine, fine]);
}

#[test]
fn a_row_has_every_field_as_django_reads_it() {
    let row = printed(&line(&attachment()), None, true);
    let expected = json!({ "model": "chat.message", "pk": 30, "fields": {
        "thread": 1, "sender": ADA, "receiver": BOB, "message": "hello",
        "attached_file": PATH, "attached_file_name": "a.jpg", "attached_file_size": "86.73KB",
        "seen": true, "deleted": false, "created": "2024-06-17T11:28:21.902531Z",
        "updated": "2024-06-17T11:28:21.902531Z" } });
    assert_eq!(row, expected);
    let later = json!({ "updated": "2024-06-18T00:00:00Z" });
    let row = printed(&line(&later), None, false);
    // The model knows whether it is null or the empty text.
    assert_eq!(row["fields"].get("attached_file"), None);
    assert_eq!(row["fields"].get("attached_file_name"), None);
    assert_eq!(row["fields"]["attached_file_size"], "0kb");
    assert_eq!(row["fields"]["updated"], "2024-06-18T00:00:00.000000Z");
}

#[test]
fn what_the_original_has_of_a_file_stays_and_goes_with_its_message() {
    let size_text = Some("86.7 KB".to_owned());
    let file = OriginalFile { path: PATH.to_owned(), name: Some("x/a.jpg".to_owned()), size_text };
    let was = was("hello", true, false, Some(file));
    let row = printed(&line(&attachment()), Some(&was), false);
    assert_eq!(row["fields"]["attached_file_name"], "x/a.jpg");
    assert_eq!(row["fields"]["attached_file_size"], "86.7 KB");
    assert_eq!(row["fields"]["seen"], true, "nothing becomes unseen");
    let deleted = line(&json!({ "body": "", "deleted": true }));
    let row = printed(&deleted, Some(&was), false);
    let fields = &row["fields"];
    assert_eq!((&fields["message"], fields.get("attached_file")), (&json!(""), None));
    assert_eq!(
        (fields.get("attached_file_name"), &fields["attached_file_size"]),
        (None, &json!("0kb"))
    );
    // What stands there for none is not made another.
    for none in [Value::Null, json!("")] {
        let columns = || none.as_str().map(str::to_owned);
        let was = Was { path: columns(), name: columns(), size_text: None, ..was.clone() };
        for line in [&line(&json!({ "body": "hullo" })), &deleted] {
            let row = printed(line, Some(&was), true);
            assert_eq!(row["fields"].get("attached_file"), Some(&none), "{row}");
            assert_eq!(row["fields"].get("attached_file_name"), Some(&none), "{row}");
            assert_eq!(row["fields"]["attached_file_size"], "0kb", "{row}");
        }
    }
    // What a receiver is not shown goes to nobody.
    let held = json!({ "body": "edited", "receiver_sees": { "body": "hello",
        "updated": "2024-06-17T11:28:21.902531Z" } });
    assert_eq!(printed(&line(&held), None, false)["fields"]["message"], "hello");
}

#[test]
fn users_are_called_as_the_original_calls_them() {
    let text = format!(
        r#"{{"type":"user","id":"{ADA}","email":"a@b.c","profile":{{"n":10000000000000000000000}}}}"#
    );
    let ada: UserLine = serde_json::from_str(&text).expect("a line");
    let mapping: Mapping =
        serde_json::from_str(r#"{"users": {"model": "auth.user", "email": "mail"}}"#)
            .expect("a mapping");
    let columns = UserColumns { email: true, profile: true };
    let key = UserKey { kind: OriginalUserIds::Numbers, id: "17" };
    let row = user(&mapping, columns, key, &ada).expect("a row");
    let text = serde_json::to_string(&row).expect("JSON");
    let expected = r#"{"model":"auth.user","pk":17,"fields":{"mail":"a@b.c","profile":{"n":10000000000000000000000}}}"#;
    assert_eq!(text, expected);
    let text = format!(r#"{{"type":"user","id":"{BOB}"}}"#);
    let bob: UserLine = serde_json::from_str(&text).expect("a line");
    let columns = UserColumns { email: true, profile: false };
    let key = UserKey { kind: OriginalUserIds::Uuids, id: BOB };
    let row = serde_json::to_value(user(&mapping, columns, key, &bob).expect("a row"));
    let expected = json!({ "model": "auth.user", "pk": BOB,
        "fields": { "mail": format!("{BOB}@user.invalid") } });
    assert_eq!(row.expect("JSON"), expected);
}
