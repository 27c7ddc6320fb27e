//! Whoever does not know whether a message is stored sends it again, with its reference.

use netrox_harness::{Edge, Role, TestChat, User, eventually, within};
use netrox_proto::v1::SendMessageRequest;
use serde_json::json;

use super::{
    crowd::{BOB, Crowd, send},
    device::connect,
};
use crate::v2::client::message;

/// By which a message is sent again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Service(Role),
    Socket(Edge),
    Rest(Edge),
}

/// What the answer says.
#[derive(Debug)]
struct Answer {
    id: i64,
    repeated: bool,
    /// It was asked for more than once, since a first answer was none.
    is_late: bool,
}

impl Crowd {
    /// Of two messages to Bob one is there still, and is found; the other was lost, if anything was, and is stored anew.
    pub(super) async fn send_again(&mut self, chat: &TestChat, way: Way) {
        let (bob, ada) =
            self.pairs().nth(BOB).map(|(to, from)| (to.clone(), from.clone())).expect("Bob");
        if let Some((id, request)) = self.newest_request(true) {
            let answer = ask(chat, way, &ada, &bob, &request).await;
            assert_eq!((answer.id, answer.repeated), (id, true), "{way:?}: {}", request.body);
        }
        let Some((lost, request)) = self.newest_request(false) else { return };
        let first = ask(chat, way, &ada, &bob, &request).await;
        assert!(
            !first.repeated || first.is_late,
            "{way:?}: {}, {first:?} in place of {lost}",
            request.body
        );
        let again = ask(chat, way, &ada, &bob, &request).await;
        assert_eq!((again.id, again.repeated), (first.id, true), "{way:?}: {}", request.body);
        self.stored_again(lost, first.id, request);
    }
}

async fn ask(
    chat: &TestChat,
    way: Way,
    from: &User,
    to: &User,
    request: &SendMessageRequest,
) -> Answer {
    let client_ref = request.client_ref.as_deref().expect("a reference");
    match way {
        Way::Service(core) => {
            let mut service = chat.chat_service_of(core);
            let answer = within("a message to be stored", send(&mut service, request)).await;
            Answer { id: answer.message_id, repeated: answer.repeated, is_late: false }
        }
        Way::Socket(edge) => {
            let mut client = connect(edge, from, None).await;
            let ack = client.ask(message(to, &request.body, client_ref)).await;
            let id = ack["message_id"].as_i64().expect("an id");
            Answer { id, repeated: ack["repeated"] == true, is_late: false }
        }
        Way::Rest(edge) => {
            let content = json!({"message_body": request.body, "client_ref": client_ref});
            let path = format!("/v2/threads/{}/messages", to.id);
            let mut asked = 0;
            let answer = eventually("an answer", async || {
                asked += 1;
                let request = edge.request("POST", &path).bearer(&from.token);
                let request = request.header("content-type", "application/json");
                let answer = request.body(content.to_string()).send().await;
                (answer.status != 503).then_some(answer)
            })
            .await;
            assert!([200, 201].contains(&answer.status), "{answer:?}");
            let id = answer.json()["id"].as_i64().expect("an id");
            Answer { id, repeated: answer.status == 200, is_late: asked > 1 }
        }
    }
}
