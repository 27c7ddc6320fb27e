//! `docs/MIGRATING.md`, from the first rehearsal to the way back: a server on Django with live clients, moved and brought back.

use std::time::{Duration, Instant};

use netrox_harness::{
    Edge, Store, User, crowding::crowded, multipart::Form, proxy::Proxy, run_test,
};
use serde_json::json;

use self::{
    live::{Live, Pair, Shown, beginning_of, text_of},
    new::{Changed, EDITED, New},
    original::{On, Original},
    rows::{Row, Rows},
};

mod live;
mod new;
mod original;
mod rows;

/// How many messages a pair sends between two steps.
const SOME: u64 = 5;
/// What is promised of the cut-over.
const CUT_OVER: Duration = Duration::from_secs(60);
/// Who writes all the time.
const PAIRS: usize = 4;
/// How many others are compared after the cut-over.
const SAMPLE: usize = 8;

/// One team's way.
struct Way {
    on: On,
    store: Store,
    messages: usize,
    files: usize,
}

#[tokio::test]
async fn from_postgres_to_sqlite_and_back() {
    let way = Way { on: On::Postgres, store: Store::Sqlite, messages: 50_000, files: 500 };
    run_test(way.go()).await;
}

#[tokio::test]
async fn from_sqlite_to_postgres_and_back() {
    let way = Way { on: On::Sqlite, store: Store::Postgres, messages: 2_500, files: 40 };
    run_test(way.go()).await;
}

impl Way {
    async fn go(self) {
        let mut original = Original::filled(self.on, self.messages, self.files).await;
        let users = original.users().await;
        let (busy, quiet) = users.split_at(2 * PAIRS);
        original.serve().await;
        let clients = Proxy::start(original.edge().address);
        let at = Edge { address: clients.address() };
        let pair = |pair: &[User]| Pair { one: pair[0].clone(), two: pair[1].clone() };
        let pairs: Vec<_> = busy.chunks(2).map(pair).collect();
        // Of others: the original takes the time before the id, and they may be in another order of what comes at once.
        let calm = pair(quiet);
        let mut live = Live::start(at, &pairs);
        live.arrive(SOME).await;
        let early = upload(&at, &calm, "früh.JPG", "canary, early").await;

        // The rehearsal, beside the original and those who write to it.
        let mut new = New::prepare(self.store).await;
        let trial = new.import(&original, &["--dry-run"]).await;
        assert_eq!(trial["user_ids"], "uuid", "{trial}");
        new.import(&original, &[]).await;
        new.start().await;
        // Of two who talk, mostly one: both are shown the same.
        let compared = new.shadow(&original, &quiet[..quiet.len() / 2]).await;
        assert_eq!(compared.status.code(), Some(0), "{compared:?}");
        live.arrive(SOME).await;
        // What was written meanwhile the copy does not have.
        let compared = new.shadow(&original, &busy[..1]).await;
        assert_eq!(compared.status.code(), Some(1), "{compared:?}");
        original.printed(&["change"]).await;
        new.stop().await;
        assert_eq!(live.breaks(), 0, "{:#?}", original.log());

        let begun = Instant::now();
        original.write_no_more().await;
        new.import(&original, &[]).await;
        new.start().await;
        let compared = new.shadow(&original, busy).await;
        assert_eq!(compared.status.code(), Some(0), "{compared:?}");
        clients.lead_to(new.chat.edge().address);
        live.arrive(1).await;
        let took = begun.elapsed();
        eprintln!("nobody could write for {took:?}");
        assert!(took < crowded(CUT_OVER), "{took:?}");

        // It has everything, and goes on with it.
        let before = original.rows().await;
        let compared = new.shadow(&original, &quiet[quiet.len() - SAMPLE..]).await;
        assert_eq!(compared.status.code(), Some(0), "{compared:?}");
        new.holds(&before, &original).await;
        assert_eq!(at.get(&early).send().await.body, "canary, early");
        let late = upload(&at, &calm, "spät.txt", "canary, late").await;
        let changed = new.change(&pairs[2], &ids(2, &before)).await;
        live.arrive(SOME).await;

        new.stop().await;
        new.export(&original).await;
        original.write_again(async |original| new.load(original).await).await;
        clients.lead_to(original.edge().address);
        live.arrive(SOME).await;
        assert_eq!(at.get(&late).send().await.body, "canary, late");
        assert_eq!(at.get(&early).send().await.body, "canary, early");
        let shown = live.finish().await;
        let after = original.rows().await;
        assert_kept(&before, &after, &changed);
        for (index, shown) in shown.iter().enumerate() {
            assert_each_once(index, shown, &after);
        }
        original.end().await;
    }
}

/// A file from one of a pair to the other, shown to them. Where it is.
async fn upload(at: &Edge, pair: &Pair, name: &str, content: &str) -> String {
    let form = Form::new().text("receiver", &pair.two.id).text("message", "canary, see this");
    let message = at.store(&pair.one, form.file(name, content)).await.json();
    let message = &message["entity"]["message"];
    let (mut one, mut two) = (at.connect(&pair.one).await, at.connect(&pair.two).await);
    one.dispatch(json!(message["id"].to_string())).await;
    loop {
        let frame = two.next().await;
        if frame["action"] == "re_message_file" {
            assert_eq!(frame["created_msg_id"], message["id"], "{frame}");
            assert_eq!(frame["attached_file_url"], message["attached_file"], "{frame}");
            return message["attached_file"].as_str().expect("a path").to_owned();
        }
    }
}

/// The live messages of a pair that a table has.
fn ids(pair: usize, rows: &Rows) -> Vec<i64> {
    let of_pair = rows.iter().filter(|(_, row)| row.message.starts_with(&beginning_of(pair)));
    of_pair.map(|(id, _)| *id).collect()
}

/// Fails unless all that was there when the original stopped is there when it is back, but for what users have changed.
fn assert_kept(before: &Rows, after: &Rows, changed: &Changed) {
    for (id, row) in before {
        let kept = after.get(id).unwrap_or_else(|| panic!("message {id} is lost: {row:?}"));
        if *id == changed.edited {
            assert_eq!(
                (&*kept.message, kept.deleted, kept.seen),
                (EDITED, false, true),
                "{kept:?}"
            );
        } else if *id == changed.deleted {
            assert!(kept.deleted, "{kept:?}");
        } else if changed.seen.contains(id) {
            assert_eq!(*kept, Row { seen: true, ..row.clone() }, "message {id}");
        } else {
            assert_eq!(kept, row, "message {id}");
        }
    }
}

/// Fails unless each message that a client saw is there once, in order, under the id that it was shown with, and no other.
fn assert_each_once(pair: usize, shown: &Shown, after: &Rows) {
    let stored: Vec<_> = ids(pair, after)
        .into_iter()
        .filter(|id| !after[id].deleted && after[id].message != EDITED)
        .map(|id| (after[&id].message.clone(), id))
        .collect();
    let expected: Vec<_> = shown
        .iter()
        .filter(|(_, id)| !after[*id].deleted && after[*id].message != EDITED)
        .map(|(number, id)| (text_of(pair, *number), *id))
        .collect();
    assert_eq!(stored, expected, "of pair {pair}");
    let numbers: Vec<_> = shown.keys().copied().collect();
    assert_eq!(numbers, (0..shown.len() as u64).collect::<Vec<_>>());
}
