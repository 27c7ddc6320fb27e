//! Tickets: what opens one socket in the place of a token.

use netrox_harness::{
    Arrangement, Edge, Socket, TestChat, User, each,
    settings::JWT_SECRET,
    socket::End,
    token::{Claims, now},
};
use netrox_proto::v1::{RevokeTokensRequest, TokenName, revoke_tokens_request::Tokens};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::v2::client::Client;

each![
    one_edge_of_all_takes_a_ticket_and_once,
    what_revokes_the_token_revokes_its_tickets_and_their_sockets,
    a_ticket_is_in_no_log_and_no_metric,
];

pub(super) async fn buy(edge: Edge, user: &User) -> String {
    let answer = edge.request("POST", "/v2/ticket").bearer(&user.token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["expires_in_s"], 30);
    answer["ticket"].as_str().expect("a ticket").to_owned()
}

fn path(ticket: &str) -> String {
    format!("/ws/chat/room/?protocol=2&ticket={ticket}")
}

/// Whether it opens a socket. Where a core is too slow to say, nobody knows.
async fn opens(edge: Edge, ticket: &str) -> Option<bool> {
    let mut socket = match Socket::try_open(edge.address, &path(ticket), &[]).await {
        Ok(socket) => socket,
        Err(Error::Http(answer)) if answer.status() == 503 => return None,
        Err(error) => panic!("{error:?}"),
    };
    loop {
        match socket.next_message().await {
            Ok(Message::Text(text)) => {
                assert!(text.contains(r#""action":"hello""#), "{text}");
                return Some(true);
            }
            Ok(Message::Close(Some(close))) => {
                assert_eq!(u16::from(close.code), 4401);
                return Some(false);
            }
            Ok(Message::Ping(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn one_edge_of_all_takes_a_ticket_and_once(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for _ in 0..3 {
        let ada = chat.user("ada").await;
        let ticket = buy(chat.edge_of(&ada), &ada).await;
        let mut attempts = tokio::task::JoinSet::new();
        for edge in chat.edges() {
            for _ in 0..4 {
                let ticket = ticket.clone();
                attempts.spawn(async move { opens(edge, &ticket).await });
            }
        }
        let mut opened = 0;
        while let Some(answer) = attempts.join_next().await {
            opened += usize::from(answer.expect("no panic") == Some(true));
        }
        for edge in chat.edges() {
            opened += usize::from(opens(edge, &ticket).await == Some(true));
        }
        assert_eq!(opened, 1);
    }
    // It is a socket as any.
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let ticket = buy(chat.edge_of(&ada), &ada).await;
    let mut socket = Socket::open(chat.edge_of(&ada).address, &path(&ticket), &[]).await;
    let hello = socket.next().await;
    assert_eq!(hello["user_id"], ada.id);
    let mut client = Client { socket, hello };
    let (mut at_bob, _) = (chat.connect(&bob).await, client.next_of("live").await);
    client.say(&bob, "canary by a ticket").await;
    at_bob.expect_body("canary by a ticket").await;
}

fn issued(user: &User, name: &str) -> User {
    let claims = Claims::access(&user.id).claim("iat", now() as i64 - 5).claim("jti", name);
    user.with_token(claims.sign(JWT_SECRET))
}

async fn what_revokes_the_token_revokes_its_tickets_and_their_sockets(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let (stolen, kept) = (issued(&ada, "stolen"), issued(&ada, "kept"));
    let edge = chat.edge();
    let (used, unused, good) =
        (buy(edge, &stolen).await, buy(edge, &stolen).await, buy(edge, &kept).await);
    let mut socket = Socket::open(edge.address, &path(&used), &[]).await;
    assert_eq!(socket.next().await["action"], "hello");
    let token = TokenName { token_id: "stolen".into(), issuer: None };
    let request = RevokeTokensRequest { tokens: Some(Tokens::Token(token)), ..Default::default() };
    chat.session_service().revoke_tokens(request).await.expect("revoked");
    assert_eq!(socket.end().await, End::Closed(4401));
    // By now that edge knows.
    assert_ne!(opens(edge, &unused).await, Some(true));
    let answer = edge.request("POST", "/v2/ticket").bearer(&stolen.token).send().await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let mut socket = Socket::open(edge.address, &path(&good), &[]).await;
    assert_eq!(socket.next().await["action"], "hello");
    // That of all tokens of the user.
    let request =
        RevokeTokensRequest { tokens: Some(Tokens::UserId(ada.id.clone())), ..Default::default() };
    chat.session_service().revoke_tokens(request).await.expect("revoked");
    assert_eq!(socket.end().await, End::Closed(4401));
}

async fn a_ticket_is_in_no_log_and_no_metric(arrangement: Arrangement) {
    const ALL: &str = "info,netrox_core=trace,netrox_edge=trace,netrox_chat=trace";
    let chat = TestChat::builder(arrangement).set("log-filter", ALL).start().await;
    let ada = chat.user("ada").await;
    let edge = chat.edge_of(&ada);
    let ticket = buy(edge, &ada).await;
    for opened in [true, false] {
        let mut socket = Socket::open(edge.address, &path(&ticket), &[]).await;
        if opened {
            assert_eq!(socket.next().await["action"], "hello");
        } else {
            assert_eq!(socket.end().await, End::Closed(4401));
        }
    }
    let garbage = "canary-no-ticket-of-anybody";
    let mut socket = Socket::open(edge.address, &path(garbage), &[]).await;
    assert_eq!(socket.end().await, End::Closed(4401));
    for role in chat.roles() {
        let metrics = chat.admin(role).get("/metrics").send().await;
        assert_eq!(metrics.status, 200);
        let log = chat.log(role).lines().join("\n");
        for secret in [&*ticket, garbage] {
            assert!(!metrics.text().contains(secret), "{role:?}");
            assert!(!log.contains(secret), "{role:?}: {log}");
        }
    }
    let core = chat.admin(chat.core_role()).get("/metrics").send().await;
    let line = "netrox_chat_tickets_total{use=\"spent\"} 1";
    let mine = core.text().lines().any(|shown| shown == line);
    // Of several cores another may have done it.
    assert!(mine || arrangement == Arrangement::Cluster, "{}", core.text());
}
