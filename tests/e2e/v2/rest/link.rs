//! Expiring links to files.

use netrox_harness::{Arrangement, Edge, Response, TestChat, each, multipart::Form};
use netrox_proto::v1::{RevokeTokensRequest, revoke_tokens_request::Tokens};
use serde_json::{Value, json};

use super::client::{Client, assert_problem, reference};

each![
    a_link_is_good_at_every_edge_for_any_range,
    a_link_ends_with_its_message_and_with_what_its_user_is_shown,
    a_link_ends_with_its_time_and_with_its_token,
    what_is_no_file_of_theirs_has_no_link,
];

const CONTENT: &str = "canary content of a file";

async fn upload(from: &Client, to: &Client) -> Value {
    let form = Form::new().text("message_body", "canary see this").file("a.mp4", CONTENT);
    let answer = from.upload(to, &reference(), form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn url(message: &Value) -> &str {
    message["attachment"]["url"].as_str().expect("a path")
}

async fn ask(client: &Client, path: &str) -> Response {
    client.call("POST", "/v2/ticket", &json!({"path": path})).await
}

async fn link(client: &Client, message: &Value) -> String {
    let answer = ask(client, url(message)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let link = answer.json()["url"].as_str().expect("a path").to_owned();
    assert!(link.starts_with(url(message)), "{link}");
    link
}

async fn read(edge: Edge, link: &str) -> Response {
    edge.get(link).send().await
}

async fn started(arrangement: Arrangement, access: &str) -> TestChat {
    TestChat::builder(arrangement).set("media-access", access).start().await
}

async fn a_link_is_good_at_every_edge_for_any_range(arrangement: Arrangement) {
    for access in ["capability", "participants"] {
        let chat = started(arrangement, access).await;
        let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
        let message = upload(&ada, &bob).await;
        let plain = read(chat.edge(), url(&message)).await;
        assert_eq!(plain.status, if access == "capability" { 200 } else { 404 }, "as before");
        for reader in [&ada, &bob] {
            let link = link(reader, &message).await;
            for edge in chat.edges() {
                let whole = read(edge, &link).await;
                assert_eq!((whole.status, whole.text()), (200, CONTENT));
                assert_eq!(whole.header("cache-control"), Some("private, no-cache"));
                for first in 0..20 {
                    let range = format!("bytes={first}-{first}");
                    let part = edge.get(&link).header("range", &range).send().await;
                    assert_eq!(part.status, 206, "{part:?}");
                    assert_eq!(part.text(), &CONTENT[first..=first]);
                }
                for wrong in [format!("{link}A"), link.replacen("signature=", "signature=A", 1)] {
                    assert_eq!(read(edge, &wrong).await.status, 404);
                }
            }
        }
    }
}

async fn a_link_ends_with_its_message_and_with_what_its_user_is_shown(arrangement: Arrangement) {
    for access in ["capability", "participants"] {
        let chat = started(arrangement, access).await;
        let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
        let hidden = upload(&ada, &bob).await;
        let (of_ada, of_bob) = (link(&ada, &hidden).await, link(&bob, &hidden).await);
        bob.delete(&hidden["id"], "me").await;
        assert_eq!(read(chat.edge(), &of_bob).await.status, 404);
        assert_problem(&ask(&bob, url(&hidden)).await, 404, "not_found");
        assert_eq!(read(chat.edge(), &of_ada).await.status, 200);
        ada.delete(&hidden["id"], "everyone").await;
        assert_eq!(read(chat.edge(), &of_ada).await.status, 404);
        assert_problem(&ask(&ada, url(&hidden)).await, 404, "not_found");
        // Of what is swallowed there is none; of what was there before a block there is.
        let before = upload(&ada, &bob).await;
        let block = format!("/v2/blocks/{}", ada.id());
        assert_eq!(bob.call("PUT", &block, &json!({})).await.status, 204);
        let swallowed = upload(&ada, &bob).await;
        assert_problem(&ask(&bob, url(&swallowed)).await, 404, "not_found");
        let own = link(&ada, &swallowed).await;
        assert_eq!(read(chat.edge(), &own).await.status, 200);
        let shown = link(&bob, &before).await;
        assert_eq!(read(chat.edge(), &shown).await.status, 200);
    }
}

async fn a_link_ends_with_its_time_and_with_its_token(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("link-ttl", "2s").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let message = upload(&ada, &bob).await;
    let answer = ask(&ada, url(&message)).await.json();
    assert_eq!(answer["expires_in_s"], 2);
    let link = answer["url"].as_str().expect("a path").to_owned();
    netrox_harness::eventually("the end of a link", async || {
        let status = read(chat.edge(), &link).await.status;
        assert!([200, 404].contains(&status), "{status}");
        (status == 404).then_some(())
    })
    .await;

    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let message = upload(&ada, &bob).await;
    let (of_ada, of_bob) = (self::link(&ada, &message).await, self::link(&bob, &message).await);
    let tokens = Some(Tokens::UserId(bob.id().to_owned()));
    let request = RevokeTokensRequest { tokens, ..Default::default() };
    chat.session_service().revoke_tokens(request).await.expect("revoked");
    netrox_harness::eventually("a link of nobody", async || {
        (read(chat.edge(), &of_bob).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(read(chat.edge(), &of_ada).await.status, 200);
}

async fn what_is_no_file_of_theirs_has_no_link(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let cy = Client::join(&chat, "cy").await;
    let message = upload(&ada, &bob).await;
    assert_problem(&ask(&cy, url(&message)).await, 404, "not_found");
    for path in ["", "/", "/mediafiles/x", &url(&message)[1..], &format!("{}?x", url(&message))] {
        assert_problem(&ask(&ada, path).await, 404, "not_found");
    }
    let form = Form::new().text("message_body", "").file("b.txt", CONTENT);
    let request = ada.upload_request(&bob, &reference(), "&dispatch=false", form);
    let held_back = request.send().await.json();
    assert_problem(&ask(&bob, url(&held_back)).await, 404, "not_found");
    link(&ada, &held_back).await;
}
