//! An index of SQLite that is damaged costs nothing but searches.

use netrox_harness::{Role, eventually};
use netrox_proto::v1::ErrorReason;

use crate::{refusal::assert_refused, running::Core, search::SEARCH, search_index::complete};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_written_without_an_index_that_is_damaged_and_the_next_start_makes_it_anew()
 {
    let mut core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    let old = core.say(&ada, &bob, "lantern old").await;
    assert_eq!(core.found(&bob, "lantern").await, [old]);
    complete(&core).await;
    core.terminate();
    core.exit_code().await;
    core.process.change_rows(&["update message_words_data set block = x'00'"]).await;
    core.start_again().await;
    let new = core.say(&ada, &bob, "lantern new").await;
    core.edit(&ada, old, "lantern edited").await.expect("edited");
    let refused = core.search_page(&bob, "lantern", 9, "").await;
    assert_refused(refused, ErrorReason::StoreUnavailable);
    assert_eq!(core.history(&ada, &bob).await.expect("read").len(), 2);
    assert!(core.log_contains("the index for search is damaged"));
    let [cyd] = core.users().await;
    let last = core.say(&cyd, &bob, "lantern last").await;
    let log = core.process.log(Role::Core(0));
    core.kill_and_restart().await;
    assert!(!log.contains("panicked"));
    eventually("an index that is made anew", async || {
        (core.found(&bob, "lantern").await == [last, new, old]).then_some(())
    })
    .await;
    assert_eq!(core.found(&ada, "edited").await, [old]);
}
