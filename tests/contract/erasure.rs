//! `DirectoryService.DeleteUser` with `erase_messages`.

use netrox_harness::eventually;
use netrox_proto::v1::{DeleteUserRequest, ErrorReason, Message, SendMessageRequest};
use tonic::Status;
use uuid::Uuid;

use crate::{
    attachment::{dispatch, upload},
    refusal::assert_refused,
    running::{Connection, Core, text},
    search::{SEARCH, say_all},
    subscribe::Subscription,
};

pub(crate) async fn erase(connection: &Connection, user: &str) -> Result<(), Status> {
    let request = DeleteUserRequest { user_id: user.into(), erase_messages: true };
    let answer = connection.directory().delete_user(request).await?.into_inner();
    assert!(answer.erasing_messages);
    Ok(())
}

const OPEN: &str = "select count(*) from erasures";

async fn ends(core: &Core) {
    eventually("the end of the erasure", async || {
        (core.process.count(OPEN).await == 0).then_some(())
    })
    .await;
}

fn is_empty(message: &Message) -> bool {
    message.deleted
        && message.body.is_empty()
        && message.attachment.is_none()
        && message.meta_json.is_none()
        && message.reply_to_id.is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_user_has_sent_is_erased_for_both() {
    let core = Core::start_with(&[SEARCH, ("delete-window", "0s")]).await;
    let [ada, bob, cyd] = core.users().await;
    let of_bob = core.say(&bob, &ada, "lantern of bob").await;
    let more = SendMessageRequest {
        reply_to_id: Some(of_bob),
        meta_json: Some("{\"a\":1}".into()),
        client_ref: Some(Uuid::new_v4().to_string()),
        ..text(&ada, &bob, "lantern answer")
    };
    let answer = core.chat().send_message(more).await.expect("stored").into_inner().message_id;
    let hidden = core.say(&ada, &bob, "lantern hidden").await;
    core.delete(&ada, hidden, false).await.expect("hidden");
    let held = core.say(&ada, &bob, "lantern before").await;
    let file = upload(&core, &ada, &bob, "secret name.txt", b"secret").await.expect("stored");
    dispatch(&core, &ada, file.id).await.expect("dispatched");
    let waiting = upload(&core, &ada, &bob, "waiting.txt", b"waiting").await.expect("stored");
    let kept = upload(&core, &bob, &ada, "kept.txt", b"kept").await.expect("stored");
    core.block(&bob, &ada).await.expect("blocked");
    let swallowed = core.say(&ada, &bob, "lantern swallowed").await;
    core.edit(&ada, held, "lantern after").await.expect("edited");
    let to_cyd = core.say(&ada, &cyd, "lantern to cyd").await;
    core.keeps_files(3).await;
    let mut at_bob = Subscription::open(&core, &bob).await;
    let place = Subscription::open(&core, &cyd).await.last_seq();

    // The user is deleted without it first: it may be asked for later, and again.
    assert!(!core.delete_user(&ada).await.expect("deleted").erasing_messages);
    assert_eq!(core.process.count(OPEN).await, 0);
    erase(&core, &ada).await.expect("begun");
    erase(&core, &ada).await.expect("again");
    assert_refused(erase(&core, &Uuid::new_v4().to_string()).await, ErrorReason::UserUnknown);
    ends(&core).await;
    core.keeps_files(1).await;
    for _ in 0..4 {
        let told = at_bob.message().await;
        assert!(is_empty(&told) && told.sender_id == ada, "{told:?}");
    }
    let mut at_cyd = Subscription::after(&core, &cyd, Some(place)).await;
    let told = at_cyd.message().await;
    assert!(is_empty(&told) && told.id == to_cyd, "{told:?}");
    let history = core.history(&bob, &ada).await.expect("a history");
    let erased: Vec<_> =
        history.iter().filter(|it| is_empty(it)).map(|message| message.id).collect();
    assert_eq!(erased, [answer, hidden, held, file.id, waiting.id]);
    let rest: Vec<_> = history.iter().filter(|it| !it.deleted).map(|it| it.id).collect();
    assert_eq!(rest, [of_bob, kept.id], "{history:?}");
    assert_eq!(core.found(&bob, "lantern").await, [of_bob]);
    assert!(core.found(&cyd, "lantern").await.is_empty());
    assert_eq!((core.state(&bob, &ada).await.unread, core.state(&cyd, &ada).await.unread), (0, 0));
    // Nor is anything of it in the database.
    let all =
        format!("{answer}, {hidden}, {held}, {}, {}, {swallowed}, {to_cyd}", file.id, waiting.id);
    let left = format!(
        "select count(*) from messages where id in ({all}) and (body <> '' or not deleted
            or meta is not null or attachment_name is not null or receiver_sees is not null)"
    );
    assert_eq!(core.process.count(&left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_goes_on_after_it_was_killed_in_the_middle() {
    const MESSAGES: usize = 1_200;
    const LEFT: &str = "select count(*) from messages where not deleted";
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let bodies: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    say_all(&core, &ada, &bob, &bodies).await;
    let own = core.say(&bob, &ada, "stays").await;
    let place = Subscription::open(&core, &bob).await.last_seq();
    erase(&core, &ada).await.expect("begun");
    core.kill_and_restart().await;
    let mut left = MESSAGES as i64 + 1;
    for _ in 0..2 {
        left = eventually("a part that is erased", async || {
            let now = core.process.count(LEFT).await;
            (now < left || now == 1).then_some(now)
        })
        .await;
        core.kill_and_restart().await;
    }
    ends(&core).await;
    assert_eq!(core.process.count(LEFT).await, 1);
    let history = core.history(&bob, &ada).await.expect("a history");
    assert_eq!(history.len(), MESSAGES + 1);
    assert!(history.iter().all(|message| message.id == own || is_empty(message)));
    // Who comes back learns of each once.
    let mut feed = Subscription::after(&core, &bob, Some(place)).await;
    let mut told = Vec::new();
    while told.len() < MESSAGES {
        let message = feed.message().await;
        assert!(is_empty(&message), "{message:?}");
        told.push(message.id);
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), MESSAGES);
    assert_eq!(core.state(&bob, &ada).await.unread, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_sends_who_comes_back_stays() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let before = core.say(&ada, &bob, "before").await;
    erase(&core, &ada).await.expect("begun");
    core.upsert(std::slice::from_ref(&ada)).await;
    let after = core.say(&ada, &bob, "after").await;
    core.kill_and_restart().await;
    ends(&core).await;
    assert!(is_empty(&core.message(&bob, before).await.expect("there")));
    assert_eq!(core.message(&bob, after).await.expect("there").body, "after");
    // Without it, what has begun is not given up.
    erase(&core, &ada).await.expect("begun");
    core.delete_user(&ada).await.expect("deleted");
    ends(&core).await;
    assert!(is_empty(&core.message(&bob, after).await.expect("there")));
}

/// So many that an erasure goes on for a while.
const MANY: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_sends_who_comes_back_stays_while_the_erasure_goes_on() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let bodies: Vec<_> = (0..MANY).map(|number| number.to_string()).collect();
    let before = say_all(&core, &ada, &bob, &bodies).await;
    let left =
        format!("select count(*) from messages where not deleted and id <= {}", before[MANY - 1]);
    erase(&core, &ada).await.expect("begun");
    eventually("a part that is erased", async || {
        (core.process.count(&left).await < MANY as i64).then_some(())
    })
    .await;
    core.upsert(std::slice::from_ref(&ada)).await;
    let after = core.say(&ada, &bob, "after").await;
    // Deleted again without it, the user has what they sent in between.
    core.delete_user(&ada).await.expect("deleted");
    assert!(core.process.count(&left).await > 0, "the erasure is over too early for this test");
    ends(&core).await;
    assert_eq!(core.process.count(&left).await, 0);
    assert_eq!(core.message(&bob, after).await.expect("there").body, "after");
    // With it, that goes as well.
    erase(&core, &ada).await.expect("begun");
    ends(&core).await;
    assert!(is_empty(&core.message(&bob, after).await.expect("there")));
}
