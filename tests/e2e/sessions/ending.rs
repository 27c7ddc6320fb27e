//! Sessions that a service ends.

use netrox_harness::{Arrangement, TestChat, each};
use netrox_proto::v1::end_sessions_request::Sessions;

use super::{are_closed, end, list, open_second, sockets};

each![sessions_of_a_user_end_and_may_come_back, one_session_is_ended_by_its_id];

async fn sessions_of_a_user_end_and_may_come_back(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut at_bob = chat.connect(&bob).await;
    let mut service = chat.session_service();
    for _ in 0..2 {
        let ended = sockets(&chat, &ada).await;
        end(&mut service, Sessions::UserId(ada.id.clone())).await;
        are_closed(ended, 4403).await;
    }
    let mut at_ada = chat.connect(&ada).await;
    at_ada.say(&bob, "back").await;
    at_bob.expect_body("back").await;
}

async fn one_session_is_ended_by_its_id(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let mut service = chat.session_service();
    for edge in chat.edges() {
        let mut kept = edge.connect(&ada).await;
        let mut ended = open_second(edge, &ada).await;
        let hello = ended.next().await;
        let id = hello["session_id"].as_str().expect("an id").to_owned();
        let listed = list(&mut service, &ada).await;
        assert!(listed.sessions.iter().any(|session| session.session_id == id), "{listed:?}");
        end(&mut service, Sessions::SessionId(id)).await;
        are_closed(vec![(ended, 2)], 4403).await;
        kept.expect_no_answer().await;
    }
}
