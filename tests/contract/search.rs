//! `ChatService.SearchMessages`: who finds what, from when on, and until when.

use netrox_proto::v1::{
    ErrorReason, Message, SearchMessagesRequest, SearchMessagesResponse,
    send_messages_response::Result as Answer,
};
use tonic::{Response, Status};

use crate::{
    attachment::{dispatch, upload},
    pipeline::{IN_FLIGHT, Pipeline},
    refusal::{assert_invalid, assert_refused},
    running::{Connection, Core, text},
};

pub(crate) const SEARCH: (&str, &str) = ("search", "true");

impl Connection {
    pub(crate) async fn search_page(
        &self,
        user: &str,
        query: &str,
        limit: i32,
        page_token: &str,
    ) -> Result<SearchMessagesResponse, Status> {
        let request = SearchMessagesRequest {
            user_id: user.into(),
            query: query.into(),
            peer_id: None,
            limit,
            page_token: page_token.into(),
        };
        self.chat().search_messages(request).await.map(Response::into_inner)
    }

    /// All that a user finds, page by page.
    pub(crate) async fn search(&self, user: &str, query: &str) -> Vec<Message> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.search_page(user, query, 200, &token).await.expect("searched");
            found.extend(page.messages);
            if page.next_page_token.is_empty() {
                return found;
            }
            token = page.next_page_token;
        }
    }

    pub(crate) async fn found(&self, user: &str, query: &str) -> Vec<i64> {
        self.search(user, query).await.into_iter().map(|message| message.id).collect()
    }

    pub(crate) async fn say(&self, sender: &str, receiver: &str, body: &str) -> i64 {
        self.send(sender, receiver, body).await.expect("stored").message_id
    }
}

/// Stores messages, many at a time.
pub(crate) async fn say_all(
    core: &Connection,
    sender: &str,
    receiver: &str,
    bodies: &[String],
) -> Vec<i64> {
    let mut pipeline = Pipeline::open(core).await;
    let mut ids = Vec::new();
    for bodies in bodies.chunks(IN_FLIGHT) {
        for (number, body) in bodies.iter().enumerate() {
            pipeline.message(number as u64, text(sender, receiver, body)).await;
        }
        let mut stored = vec![0; bodies.len()];
        for _ in bodies {
            let (number, Answer::Message(sent)) = pipeline.next().await else { panic!("refused") };
            stored[number as usize] = sent.message_id;
        }
        ids.extend(stored);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_from_its_answer_on_and_as_it_stands() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob, cyd] = core.users().await;
    let first = core.say(&ada, &bob, "The Concert tickets are here").await;
    assert_eq!(core.found(&ada, "concert ticket").await, [first]);
    let second = core.say(&bob, &ada, "Which concert?").await;
    let third = core.say(&cyd, &bob, "no CONCERT for me").await;
    assert_eq!(core.found(&ada, "concert").await, [second, first]);
    assert_eq!(core.found(&bob, "concert").await, [third, second, first]);
    assert_eq!(core.found(&cyd, "Concert").await, [third]);
    for none in ["concert dinner", "tickets which", "nothing", "?!"] {
        assert!(core.found(&ada, none).await.is_empty(), "{none}");
    }
    // As it is read elsewhere.
    let found = core.search(&bob, "tickets concert").await;
    assert_eq!(found, [core.message(&bob, first).await.expect("visible")]);
    core.seen(&bob, &ada, first).await.expect("marked");
    assert!(
        core.search(&ada, "tickets").await[0].seen && core.search(&bob, "tickets").await[0].seen
    );

    core.edit(&ada, first, "The théâtre tickets are here").await.expect("edited");
    assert_eq!(core.found(&ada, "concert").await, [second]);
    assert_eq!(core.found(&bob, "theatre").await, [first]);
    core.delete(&ada, first, true).await.expect("deleted");
    assert!(core.found(&ada, "tickets").await.is_empty());
    assert!(core.found(&bob, "theatre").await.is_empty());
    core.delete(&bob, second, false).await.expect("hidden");
    assert_eq!(core.found(&bob, "concert").await, [third]);
    assert_eq!(core.found(&ada, "concert").await, [second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_block_keeps_from_somebody_is_found_by_its_sender_alone() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    let before = core.say(&bob, &ada, "sunflowers before").await;
    core.block(&ada, &bob).await.expect("blocked");
    let swallowed = core.say(&bob, &ada, "sunflowers swallowed").await;
    assert_eq!(core.found(&bob, "sunflowers").await, [swallowed, before]);
    assert_eq!(core.found(&ada, "sunflowers").await, [before]);
    // Each finds an edit that is held by what they see of it.
    core.edit(&bob, before, "tulips").await.expect("edited");
    assert_eq!(core.found(&bob, "tulips").await, [before]);
    assert_eq!(core.found(&bob, "sunflowers").await, [swallowed]);
    assert_eq!(core.found(&ada, "sunflowers").await, [before]);
    assert_eq!(core.search(&ada, "sunflowers").await[0].body, "sunflowers before");
    assert!(core.found(&ada, "tulips").await.is_empty());
    core.edit(&bob, swallowed, "roses").await.expect("edited");
    assert!(core.found(&ada, "roses").await.is_empty());
    // No page is short for it, and none comes after it.
    let page = core.search_page(&ada, "sunflowers", 1, "").await.expect("searched");
    assert_eq!((page.messages.len(), &*page.next_page_token), (1, ""));

    core.unblock(&ada, &bob).await.expect("unblocked");
    assert!(core.found(&ada, "tulips").await.is_empty());
    core.edit(&bob, before, "tulips again").await.expect("edited");
    assert_eq!(core.found(&ada, "tulips").await, [before]);
    assert!(core.found(&ada, "sunflowers").await.is_empty());
    assert!(core.found(&ada, "roses").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_found_by_its_receiver_once_it_is_dispatched() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    let file = upload(&core, &ada, &bob, "a.txt", b"bytes").await.expect("stored");
    core.edit(&ada, file.id, "the holiday photos").await.expect("edited");
    assert_eq!(core.found(&ada, "holiday").await, [file.id]);
    assert!(core.found(&bob, "holiday").await.is_empty());
    dispatch(&core, &ada, file.id).await.expect("dispatched");
    assert_eq!(core.found(&bob, "holiday").await, [file.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_one_another_and_may_be_of_one_thread() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob, cyd] = core.users().await;
    let bodies: Vec<_> = (0..60).map(|number| format!("number {number}")).collect();
    let mut ids = say_all(&core, &ada, &bob, &bodies).await;
    let of_cyd = say_all(&core, &cyd, &ada, &bodies[..9]).await;
    say_all(&core, &cyd, &bob, &bodies[..9]).await;
    let with_cyd = SearchMessagesRequest {
        user_id: ada.clone(),
        query: "number".into(),
        peer_id: Some(cyd.clone()),
        limit: 5,
        ..Default::default()
    };
    let page = core.chat().search_messages(with_cyd.clone()).await.expect("searched").into_inner();
    let found: Vec<_> = page.messages.iter().map(|message| message.id).collect();
    assert!(found.iter().copied().eq(of_cyd[4..].iter().rev().copied()), "{found:?}");
    let next = SearchMessagesRequest { page_token: page.next_page_token, ..with_cyd.clone() };
    let page = core.chat().search_messages(next).await.expect("searched").into_inner();
    let found: Vec<_> = page.messages.iter().map(|message| message.id).collect();
    assert!(found.iter().copied().eq(of_cyd[..4].iter().rev().copied()), "{found:?}");
    assert_eq!(page.next_page_token, "");

    ids.extend(of_cyd);
    ids.reverse();
    for limit in [1, 7, 69, 200] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = core.search_page(&ada, "numbe", limit, &token).await.expect("searched");
            assert!(page.messages.len() <= limit as usize);
            found.extend(page.messages.iter().map(|message| message.id));
            if page.next_page_token.is_empty() {
                break;
            }
            token = page.next_page_token;
        }
        assert_eq!(found, ids, "{limit}");
    }
    // Nobody wrote to each other yet.
    let [dan] = core.users().await;
    let none = SearchMessagesRequest { peer_id: Some(dan), ..with_cyd };
    let none = core.chat().search_messages(none).await.expect("searched").into_inner();
    assert_eq!(none, SearchMessagesResponse::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_searched_for_is_refused() {
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    for query in ["", "x", &"x".repeat(101)] {
        assert_invalid(core.search_page(&ada, query, 9, "").await, "query");
    }
    core.search_page(&ada, &"ä".repeat(100), 9, "").await.expect("searched");
    for limit in [0, 201, -1] {
        assert_invalid(core.search_page(&ada, "hello", limit, "").await, "limit");
    }
    assert_invalid(core.search_page(&ada, "hello", 9, "x").await, "page_token");
    assert_invalid(core.search_page("x", "hello", 9, "").await, "user_id");
    let stranger = uuid::Uuid::new_v4().to_string();
    let unknown = core.search_page(&stranger, "hello", 9, "").await;
    assert_refused(unknown, ErrorReason::UserUnknown);
    for peer in [&stranger, &ada] {
        let request = SearchMessagesRequest {
            user_id: ada.clone(),
            query: "hello".into(),
            peer_id: Some(peer.clone()),
            limit: 9,
            ..Default::default()
        };
        assert_refused(core.chat().search_messages(request).await, ErrorReason::UserUnknown);
    }
    core.delete_user(&bob).await.expect("deleted");
    assert_refused(core.search_page(&bob, "hello", 9, "").await, ErrorReason::UserDeleted);

    let off = Core::start().await;
    let [ada] = off.users().await;
    assert_refused(off.search_page(&ada, "hello", 9, "").await, ErrorReason::NotEnabled);
}
