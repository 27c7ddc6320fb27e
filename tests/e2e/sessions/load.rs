//! Tokens that are taken away while their users write.

use std::time::Duration;

use netrox_harness::{Arrangement, TestChat, each};
use netrox_proto::v1::{TokenName, revoke_tokens_request::Tokens};
use tokio::{sync::watch, time::Instant};

use super::{issued, revoke};

each![not_one_send_is_taken_later_and_not_one_refused_wrongly];

/// From the answer to a revocation on, within which every edge knows it.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
const SENDERS: usize = 4;

/// Answers with the times of their requests.
type Answers = Vec<(Instant, u16)>;

async fn not_one_send_is_taken_later_and_not_one_refused_wrongly(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "1000").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (stolen, kept) = (issued(&ada, -5, "stolen"), issued(&ada, -5, "kept"));
    let (stop, stopped) = watch::channel(false);
    let send = |user: &netrox_harness::User, number: usize| {
        let (edge, token) = (chat.edge_at(number), user.token.clone());
        let (receiver, stopped) = (bob.id.clone(), stopped.clone());
        tokio::spawn(async move {
            let mut answers = Answers::new();
            loop {
                // One more begins after it is to stop.
                let is_last = *stopped.borrow();
                let client_ref = uuid::Uuid::new_v4().to_string();
                let body = serde_json::json!({"client_ref": client_ref, "message_body": "hello"});
                let begun = Instant::now();
                let path = format!("/v2/threads/{receiver}/messages");
                let sent = edge.request("POST", &path).bearer(&token);
                let sent = sent.header("content-type", "application/json");
                let answer = sent.body(body.to_string()).send().await;
                answers.push((begun, answer.status));
                if is_last {
                    return answers;
                }
            }
        })
    };
    let of_stolen: Vec<_> = (0..SENDERS).map(|number| send(&stolen, number)).collect();
    let of_kept: Vec<_> = (0..SENDERS).map(|number| send(&kept, number)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut service = chat.session_service();
    let name = TokenName { token_id: "stolen".into(), issuer: None };
    revoke(&mut service, Tokens::Token(name)).await;
    let known = Instant::now() + KNOWN_WITHIN;
    tokio::time::sleep(KNOWN_WITHIN * 2).await;
    stop.send_replace(true);
    for sender in of_stolen {
        let answers = sender.await.expect("no panic");
        let taken = answers.iter().filter(|(_, status)| *status == 201 || *status == 200);
        let late: Vec<_> = taken.clone().filter(|(begun, _)| *begun > known).collect();
        assert!(late.is_empty() && taken.count() > 0, "{answers:?}");
        assert!(answers.iter().any(|(begun, status)| *begun > known && *status == 401));
    }
    for sender in of_kept {
        let answers = sender.await.expect("no panic");
        let wrong: Vec<_> =
            answers.iter().filter(|(_, status)| !(200..300).contains(status)).collect();
        assert!(wrong.is_empty() && !answers.is_empty(), "{wrong:?}");
    }
}
