//! What is indexed when: what was there before, what came while search was off, and what was too much at once.

use netrox_harness::{Role, TestChat, eventually};
use netrox_proto::v1::ErrorReason;

use crate::{
    STORE,
    attachment::upload,
    refusal::assert_refused,
    running::Core,
    search::{SEARCH, say_all},
};

/// Whether all is indexed, as far as the log tells.
pub(crate) async fn complete(core: &Core) {
    complete_of(&core.process, Role::Core(0)).await;
}

pub(crate) async fn complete_of(chat: &TestChat, core: Role) {
    eventually("the whole index", async || {
        let metrics = chat.admin(core).get("/metrics").send().await;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        metrics.contains("netrox_chat_search_index_complete 1").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_is_indexed_whatever_kills_the_core() {
    let mut core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let bodies: Vec<_> = (0..3_000).map(|number| format!("lantern {number}")).collect();
    let ids = say_all(&core, &ada, &bob, &bodies).await;
    core.say(&ada, &cyd, "lantern of another").await;
    core.edit(&ada, ids[7], "candle").await.expect("edited");
    core.delete(&ada, ids[8], true).await.expect("deleted");
    core.delete(&bob, ids[9], false).await.expect("hidden");
    core.block(&bob, &ada).await.expect("blocked");
    core.say(&ada, &bob, "lantern swallowed").await;
    core.edit(&ada, ids[10], "candle held").await.expect("edited");
    core.process.set("search", "true");
    core.kill_and_restart().await;
    // In the middle of it, as far as that goes.
    for _ in 0..3 {
        let found = core.found(&bob, "lantern 17").await;
        assert!(found.iter().all(|id| ids.contains(id)), "{found:?}");
        let new = core.say(&cyd, &bob, "torch").await;
        assert!(core.found(&bob, "torch").await.contains(&new));
        core.kill_and_restart().await;
    }
    complete(&core).await;
    let mut expected = ids.clone();
    expected.reverse();
    expected.retain(|id| ![ids[7], ids[8], ids[9]].contains(id));
    assert_eq!(core.found(&bob, "lantern").await, expected);
    assert_eq!(core.found(&bob, "candle").await, [ids[7]]);
    assert_eq!(core.found(&ada, "candle").await, [ids[10], ids[7]]);
    assert_eq!(core.found(&bob, "torch").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_search_was_off_is_found_as_it_stands() {
    let mut core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    let edited = core.say(&ada, &bob, "violin first").await;
    let deleted = core.say(&ada, &bob, "violin second").await;
    let hidden = core.say(&ada, &bob, "violin third").await;
    let same = core.say(&ada, &bob, "violin fourth").await;
    complete(&core).await;
    core.process.unset("search");
    core.kill_and_restart().await;
    assert_refused(core.search_page(&ada, "violin", 9, "").await, ErrorReason::NotEnabled);
    core.edit(&ada, edited, "cello").await.expect("edited");
    core.delete(&ada, deleted, true).await.expect("deleted");
    core.delete(&bob, hidden, false).await.expect("hidden");
    let new = core.say(&ada, &bob, "violin new").await;
    let file = upload(&core, &ada, &bob, "a.txt", b"bytes").await.expect("stored");
    core.edit(&ada, file.id, "violin file").await.expect("edited");
    // What it was is not kept, on or off.
    assert_eq!(core.process.count("select count(*) from unindexed_messages").await, 5);
    core.process.set("search", "true");
    core.kill_and_restart().await;
    complete(&core).await;
    assert_eq!(core.found(&ada, "violin").await, [file.id, new, same, hidden]);
    assert_eq!(core.found(&bob, "violin").await, [new, same]);
    assert_eq!(core.found(&bob, "cello").await, [edited]);
    assert_eq!(core.process.count("select count(*) from unindexed_messages").await, 0);
    let later = core.say(&bob, &ada, "violin later").await;
    assert_eq!(core.found(&ada, "violin").await[0], later);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_once_is_found_from_its_answer_on() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob, cyd, dan] = core.users().await;
    let filling = "filling ".repeat(1_900);
    let body = |word: &str, number: usize| format!("{word}{number} {filling}");
    // More than twice what a transaction indexes, as far as they come into one.
    let others: Vec<_> = (0..96).map(|number| body("other", number)).collect();
    say_all(&core, &cyd, &dan, &others).await;
    let own: Vec<_> = (0..64).map(|number| body("signal", number)).collect();
    let ids = say_all(&core, &ada, &bob, &own).await;
    for user in [&ada, &bob] {
        for number in [0, 31, 63] {
            assert_eq!(core.found(user, &format!("signal{number}")).await, [ids[number]]);
        }
    }
    let mut newest_first = ids.clone();
    newest_first.reverse();
    assert_eq!(core.found(&bob, "filling").await, newest_first);
    eventually("nothing that is noted", async || {
        (core.process.count("select count(*) from unindexed_messages").await == 0).then_some(())
    })
    .await;
    assert_eq!(core.found(&bob, "filling").await, newest_first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_short_of_what_was_compared_tells_where_to_go_on() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    let first = core.say(&ada, &bob, "abcd and bcde").await;
    // Each three letters of the word are in it, and the word is not.
    let bodies: Vec<_> = (0..1_100).map(|number| format!("xabcd bcdex {number}")).collect();
    say_all(&core, &ada, &bob, &bodies).await;
    let (mut pages, mut token) = (0, String::new());
    let found = loop {
        let page = core.search_page(&ada, "abcdefg", 10, &token).await.expect("searched");
        pages += 1;
        assert!(page.messages.is_empty(), "{page:?}");
        if page.next_page_token.is_empty() {
            break pages;
        }
        token = page.next_page_token;
    };
    // PostgreSQL compares the words themselves.
    let expected = if STORE == netrox_harness::Store::Sqlite { 2 } else { 1 };
    assert_eq!(found, expected);
    assert_eq!(core.found(&ada, "abcd and").await, [first]);
}
