use std::{fs, path::Path};

use sqlx::sqlite::SqliteConnectOptions;

use super::{value::OriginalUserId, *};

const ADA: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
const FILE: &str = "attachments/2024/14/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";

/// As Django makes them.
const TABLES: &str = "\
    create table users_user (id char(32) not null primary key, email varchar(254) not null,
        profile text null check (json_valid(profile) or profile is null));
    create table chat_thread (id integer not null primary key autoincrement,
        user_one_id char(32) not null, user_two_id char(32) not null, created datetime not null);
    create table chat_message (id integer not null primary key autoincrement,
        thread_id bigint not null, sender_id char(32) not null, receiver_id char(32) not null,
        message text null, attached_file varchar(100) null, attached_file_name varchar(255) null,
        attached_file_size varchar(20) not null, seen bool not null, deleted bool not null,
        created datetime not null, updated datetime not null);";

async fn sqlite(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
    let (ada, bob) = (ADA.replace('-', ""), BOB.replace('-', ""));
    let rows = format!(
        "{TABLES}
        insert into users_user values ('{ada}', 'ada@example.com', '{{\"name\": \"Ada\"}}'),
            ('{bob}', '', null);
        insert into chat_thread values (1, '{bob}', '{ada}', '2024-06-16 11:43:37.563070');
        insert into chat_message values
            (30, 1, '{ada}', '{bob}', 'hällo', null, null, '0kb', 1, 0,
                '2024-06-17 11:28:21.902531', '2024-06-17 11:28:21.902531'),
            (35, 1, '{bob}', '{ada}', '', '{FILE}', 'a b.jpg', '86.73KB', 0, 0,
                '2024-06-17 13:14:52', '2024-06-17 13:14:52'),
            (2001, 1, '{bob}', '{ada}', 'gone', '', null, '0kb', 0, 1,
                '2024-06-17 13:14:53', '2024-06-17 13:15:00.000001'),
            (2002, 1, '{bob}', 'nobody', 'bad', '', null, '0kb', 0, 0,
                '2024-06-17 13:14:54', '2024-06-17 13:14:54')"
    );
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await.expect("rows");
    connection.close().await.expect("closed");
}

fn dump() -> String {
    format!(
        "[
    {{\"model\": \"chat.message\", \"pk\": 35, \"fields\": {{\"thread\": 1, \"sender\": \"{BOB}\",
        \"receiver\": \"{ADA}\", \"message\": \"\", \"attached_file\": \"{FILE}\",
        \"attached_file_name\": \"a b.jpg\", \"attached_file_size\": \"86.73KB\", \"seen\": false,
        \"deleted\": false, \"created\": \"2024-06-17T13:14:52Z\",
        \"updated\": \"2024-06-17T13:14:52Z\", \"more\": [1]}}}},
    {{\"model\": \"chat.message\", \"pk\": 30, \"fields\": {{\"thread\": 1, \"sender\": \"{ADA}\",
        \"receiver\": \"{BOB}\", \"message\": \"hällo\", \"attached_file\": \"\",
        \"attached_file_name\": null, \"attached_file_size\": \"0kb\", \"seen\": true,
        \"deleted\": false, \"created\": \"2024-06-17T11:28:21.902Z\",
        \"updated\": \"2024-06-17T11:28:21.902Z\"}}}},
    {{\"model\": \"chat.thread\", \"pk\": 1, \"fields\": {{\"user_one\": \"{BOB}\",
        \"user_two\": \"{ADA}\", \"created\": \"2024-06-16T11:43:37.563Z\"}}}},
    {{\"model\": \"auth.group\", \"pk\": 1, \"fields\": {{}}}},
    {{\"model\": \"users.user\", \"pk\": \"{ADA}\", \"fields\": {{\"email\": \"ada@example.com\",
        \"profile\": {{\"name\": \"Ada\"}}, \"password\": \"x\"}}}},
    {{\"model\": \"users.User\", \"pk\": \"{BOB}\", \"fields\": {{\"email\": \"\"}}}}]"
    )
}

async fn open(place: &str) -> Original {
    let place = place.parse().expect("a place");
    Original::open(&place, &Mapping::default()).await.expect("an original")
}

async fn messages(original: &mut Original, until: i64) -> Vec<Result<OriginalMessage, BadRow>> {
    let (mut after, mut all) = (i64::MIN, Vec::new());
    loop {
        let page = original.messages(&mut after, until).await.expect("a page");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn expected(cut: bool) -> [OriginalMessage; 2] {
    let [ada, bob]: [OriginalUserId; 2] = [ADA, BOB].map(|id| id.parse().expect("an id"));
    let at = if cut { 1_718_623_701_902_000 } else { 1_718_623_701_902_531 };
    let later = 1_718_630_092_000_000;
    // Null of the one, and the empty text of the other.
    let none = cut.then(String::new);
    let first = OriginalMessage {
        id: 30,
        thread_id: 1,
        sender_id: ada,
        receiver_id: bob,
        message: "hällo".to_owned(),
        file: None,
        seen: true,
        deleted: false,
        created: at,
        updated: at,
        columns: FileColumns { path: none, name: None, size_text: Some("0kb".to_owned()) },
    };
    let file = OriginalFile {
        path: FILE.to_owned(),
        name: Some("a b.jpg".to_owned()),
        size_text: Some("86.73KB".to_owned()),
    };
    let columns = FileColumns {
        path: Some(file.path.clone()),
        name: file.name.clone(),
        size_text: file.size_text.clone(),
    };
    let second = OriginalMessage {
        id: 35,
        sender_id: bob,
        receiver_id: ada,
        message: String::new(),
        file: Some(file),
        seen: false,
        created: later,
        updated: later,
        columns,
        ..first.clone()
    };
    [first, second]
}

#[tokio::test]
async fn a_database_of_sqlite_is_read_as_django_wrote_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db.sqlite3");
    sqlite(&path).await;
    let mut original = open(&format!("sqlite://{}", path.display())).await;
    let facts = original.begin().await.expect("a snapshot");
    assert_eq!(facts.user_ids, Some(OriginalUserIds::Uuids));
    assert_eq!((facts.users, facts.threads, facts.newest_message), (2, 1, 2002));
    assert!(!facts.is_cut_to_millis);
    let mut after = None;
    let users = original.users(&mut after).await.expect("users");
    let [Ok(bob), Ok(ada)] = &users[..] else { panic!("{users:?}") };
    assert_eq!((bob.id.to_string(), ada.id.to_string()), (BOB.to_owned(), ADA.to_owned()));
    assert_eq!((&bob.email, &bob.profile), (&None, &None));
    assert_eq!(ada.profile.as_deref(), Some("{\"name\": \"Ada\"}"));
    assert!(original.users(&mut after).await.expect("users").is_empty());
    let mut after = i64::MIN;
    let threads = original.threads(&mut after).await.expect("threads");
    assert!(
        matches!(&threads[..], [Ok(thread)]
        if thread.created == 1_718_538_217_563_070 && thread.user_one == bob.id),
        "{threads:?}"
    );
    let all = messages(&mut original, facts.newest_message).await;
    let [Ok(first), Ok(second), Ok(gone), Err(bad)] = &all[..] else { panic!("{all:?}") };
    assert_eq!([first, second], expected(false).each_ref());
    assert!(gone.deleted && gone.file.is_none() && gone.updated > gone.created, "{gone:?}");
    assert_eq!((bad.kind, &*bad.id), ("message", "2002"));
    assert!(bad.reason.starts_with("receiver: \"nobody\""), "{bad:?}");
    assert_eq!(messages(&mut original, 34).await.len(), 1);
    original.end().await.expect("ended");
    original.close().await;
}

#[tokio::test]
async fn a_user_of_no_id_does_not_say_what_ids_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db.sqlite3");
    sqlite(&path).await;
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
    let bad = "insert into users_user values ('-', '', null)";
    sqlx::raw_sql(bad).execute(&mut connection).await.expect("a row");
    connection.close().await.expect("closed");
    let mut original = open(&format!("sqlite://{}", path.display())).await;
    let facts = original.begin().await.expect("a snapshot");
    assert_eq!((facts.user_ids, facts.users), (Some(OriginalUserIds::Uuids), 3));
    let users = original.users(&mut None).await.expect("users");
    assert!(matches!(&users[..], [Err(bad), Ok(_), Ok(_)] if bad.id == "-"), "{users:?}");
    original.close().await;
}

#[tokio::test]
async fn spans_tell_what_messages_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db.sqlite3");
    sqlite(&path).await;
    let mut original = open(&format!("sqlite://{}", path.display())).await;
    let facts = original.begin().await.expect("a snapshot");
    let spans = original.spans(facts.newest_message).await.expect("spans");
    let [first, second] = &spans[..] else { panic!("{spans:?}") };
    let of_first = Span {
        number: 0,
        messages: 2,
        seen: 31,
        deleted: 0,
        files: 1,
        characters: 5 * 31,
        updated: 1_718_630_092_000_000,
    };
    assert_eq!(first, &of_first);
    assert_eq!((first.after(), first.last()), (-1, 999));
    // What was deleted has no text.
    assert_eq!((second.number, second.deleted, second.characters), (2, 2, 3 * 3));
    assert_eq!(second.updated, 1_718_630_100_000_001);
}

#[tokio::test]
async fn a_fixture_is_read_in_the_order_of_its_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dump.json");
    fs::write(&path, dump()).expect("written");
    let mut original = open(path.to_str().expect("a path")).await;
    let facts = original.begin().await.expect("a snapshot");
    assert_eq!((facts.users, facts.threads, facts.newest_message), (2, 1, 35));
    assert!(facts.is_cut_to_millis);
    let users = original.users(&mut None).await.expect("users");
    let profiles: Vec<_> =
        users.iter().map(|user| user.as_ref().expect("a user").profile.as_deref()).collect();
    assert_eq!(profiles, [None, Some("{\"name\":\"Ada\"}")]);
    let all = messages(&mut original, facts.newest_message).await;
    let all: Vec<_> = all.into_iter().map(|message| message.expect("a message")).collect();
    assert_eq!(all, expected(true));
    original.close().await;

    let lines = dump().replace("\n       ", "").replace(",\n", "\n");
    let path = directory.path().join("dump.jsonl");
    let lines = lines.trim_start_matches('[').trim_end_matches(']');
    fs::write(&path, lines).expect("written");
    let mut original = open(path.to_str().expect("a path")).await;
    assert_eq!(original.begin().await.expect("a snapshot").users, 2);
}

#[tokio::test]
async fn what_is_no_original_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db.sqlite3");
    sqlite(&path).await;
    let place: OriginalPlace = format!("sqlite://{}", path.display()).parse().expect("a place");
    for (mapping, named) in [
        ("{\"threads\": {\"table\": \"thread\"}}", "\"thread\""),
        ("{\"messages\": {\"sender\": \"from_id\"}}", "\"from_id\""),
        ("{\"users\": {\"profile\": \"about\"}}", "\"about\""),
        ("{\"schema\": \"old\"}", "schema"),
    ] {
        let mapping = serde_json::from_str(mapping).expect("a mapping");
        let error = Original::open(&place, &mapping).await.expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
    let missing = OriginalPlace::Sqlite(directory.path().join("missing"));
    assert!(Original::open(&missing, &Mapping::default()).await.is_err());
    let cut = directory.path().join("cut.json");
    let text = dump();
    fs::write(&cut, &text[..text.len() - 1]).expect("written");
    let place = OriginalPlace::Dump(cut);
    let error = Original::open(&place, &Mapping::default()).await.expect_err("cut off");
    assert!(error.to_string().contains("EOF"), "{error}");
    for wrong in ["", "mysql://x", "sqlite://", "dump.xml", "https://x/dump.json"] {
        assert!(wrong.parse::<OriginalPlace>().is_err(), "{wrong}");
    }
}
