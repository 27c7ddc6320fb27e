//! Who is online, and who is told.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, Engine, TestChat, User, each, engine::NatsServer, eventually};
use serde_json::{Value, json};

use crate::v2::client::Client;

each![
    any_socket_makes_online_and_the_last_that_goes_offline,
    a_strangers_first_message_buys_nothing_and_a_reply_opens_it,
    who_hides_is_shown_nobody,
    a_block_closes_it_both_ways,
    a_changed_profile_of_a_watched_peer_is_told;
    split: a_killed_edge_leaves_no_ghost;
    cluster: a_killed_edge_leaves_no_ghost, a_killed_core_leaves_nobody_offline_who_is_not,
        a_killed_bus_leaves_no_ghost_and_nobody_offline_who_is_not,
];

/// A ghost is gone by then (PROTOCOL-2 section 6).
const PROMISED: Duration = Duration::from_secs(45);
const GRACE: Duration = Duration::from_secs(10);

fn watch(peers: &[&User]) -> Value {
    let peers: Vec<_> = peers.iter().map(|peer| &peer.id).collect();
    json!({"action": "presence_watch", "peer_ids": peers})
}

fn offline(peer: &User) -> Value {
    json!({"peer_id": peer.id, "online": false, "last_seen": null})
}

/// How a peer is at the moment.
async fn state(client: &mut Client, peer: &User) -> Value {
    client.ask(watch(&[peer])).await["states"][0].clone()
}

/// Watches the peer, from when they are online.
async fn until_online(client: &mut Client, peer: &User) {
    eventually("online", async || (state(client, peer).await["online"] == true).then_some(()))
        .await;
}

/// Watches the peer, from when nothing of them is told: by a core that did not store why, within a second.
async fn until_nothing(client: &mut Client, peer: &User) {
    eventually("nothing", async || (state(client, peer).await == offline(peer)).then_some(()))
        .await;
}

/// The next change of the peer.
async fn change(client: &mut Client, peer: &User) -> Value {
    loop {
        let frame = client.next_of("presence").await;
        if frame["peer_id"] == peer.id {
            return frame;
        }
    }
}

async fn both_have_written(one: &mut Client, other: &mut Client, users: (&User, &User)) {
    one.say(users.1, "hello").await;
    other.say(users.0, "hello").await;
}

async fn any_socket_makes_online_and_the_last_that_goes_offline(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    both_have_written(&mut at_ada, &mut at_bob, (&ada, &bob)).await;
    until_online(&mut at_ada, &bob).await;
    let documented = chat.edge_at(1).connect(&bob).await;
    drop(at_bob);
    // The documented socket holds it, also behind the time after which it would be told.
    let longer = tokio::time::timeout(GRACE + Duration::from_secs(2), change(&mut at_ada, &bob));
    assert!(longer.await.is_err(), "Bob has a socket");
    documented.close().await;
    let begun = Instant::now();
    let left = change(&mut at_ada, &bob).await;
    assert_eq!(left["online"], false);
    assert!(left["last_seen"].as_str().is_some_and(|at| at.ends_with(":00.000000Z")), "{left}");
    assert!(begun.elapsed() > GRACE - Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < GRACE + Duration::from_secs(8), "{:?}", begun.elapsed());
    let _documented = chat.edge_at(0).connect(&bob).await;
    assert_eq!(change(&mut at_ada, &bob).await["online"], true);
}

async fn a_strangers_first_message_buys_nothing_and_a_reply_opens_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    at_ada.say(&bob, "hello").await;
    until_online(&mut at_bob, &ada).await;
    let nobody = chat.stranger("nobody");
    let ack = at_ada.ask(watch(&[&nobody, &bob])).await;
    assert_eq!(ack["states"], json!([offline(&nobody), offline(&bob)]));
    at_bob.say(&ada, "hello").await;
    assert_eq!(change(&mut at_ada, &bob).await["online"], true);
}

async fn who_hides_is_shown_nobody(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    both_have_written(&mut at_ada, &mut at_bob, (&ada, &bob)).await;
    until_online(&mut at_ada, &bob).await;
    until_online(&mut at_bob, &ada).await;
    let me = async || {
        let answer = chat.edge_of(&ada).get("/v2/me").bearer(&ada.token).send().await;
        answer.json()["presence"].clone()
    };
    assert_eq!(me().await, "peers");
    at_ada.ask(json!({"action": "presence_set", "presence": "nobody"})).await;
    assert_eq!(me().await, "nobody");
    // Ada may be told before the answer.
    let frame = change(&mut at_bob, &ada).await;
    assert_eq!((&frame["online"], &frame["last_seen"]), (&json!(false), &Value::Null));
    for (client, peer) in [(&mut at_ada, &bob), (&mut at_bob, &ada)] {
        until_nothing(client, peer).await;
    }
    at_ada.ask(json!({"action": "presence_set", "presence": "peers"})).await;
    for (client, peer) in [(&mut at_ada, &bob), (&mut at_bob, &ada)] {
        until_online(client, peer).await;
    }
}

async fn a_block_closes_it_both_ways(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    both_have_written(&mut at_ada, &mut at_bob, (&ada, &bob)).await;
    until_online(&mut at_ada, &bob).await;
    until_online(&mut at_bob, &ada).await;
    at_ada.ask(json!({"action": "block", "peer_id": bob.id})).await;
    // Ada may be told before the answer.
    let frame = change(&mut at_bob, &ada).await;
    assert_eq!((&frame["online"], &frame["last_seen"]), (&json!(false), &Value::Null));
    for (client, peer) in [(&mut at_ada, &bob), (&mut at_bob, &ada)] {
        until_nothing(client, peer).await;
    }
    at_ada.ask(json!({"action": "unblock", "peer_id": bob.id})).await;
    until_online(&mut at_ada, &bob).await;
}

async fn a_changed_profile_of_a_watched_peer_is_told(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    both_have_written(&mut at_ada, &mut at_bob, (&ada, &bob)).await;
    until_online(&mut at_ada, &bob).await;
    let change = netrox_proto::v1::UserChange {
        id: bob.id.clone(),
        email: Some("new@example.com".to_owned()),
        ..Default::default()
    };
    let request = netrox_proto::v1::UpsertUsersRequest { users: vec![change] };
    chat.directory_service().upsert_users(request).await.expect("upserted");
    let frame = at_ada.next_of("user").await;
    assert_eq!(
        (&frame["user"]["id"], &frame["user"]["email"]),
        (&json!(bob.id), &json!("new@example.com"))
    );
}

async fn a_killed_edge_leaves_no_ghost(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).edges(2).start().await;
    let (ada, bob) = (chat.stranger("ada"), chat.stranger("bob"));
    let mut at_ada = Client::live(chat.edge_at(0), &ada).await;
    let mut at_bob = Client::live(chat.edge_at(1), &bob).await;
    both_have_written(&mut at_ada, &mut at_bob, (&ada, &bob)).await;
    until_online(&mut at_ada, &bob).await;
    let killed = Instant::now();
    chat.kill(chat.edge_roles()[1]);
    let frame = change(&mut at_ada, &bob).await;
    assert_eq!(frame["online"], false);
    assert!(killed.elapsed() < PROMISED, "{:?}", killed.elapsed());
}

/// Edges tell another core, before anybody is told that somebody left.
async fn a_killed_core_leaves_nobody_offline_who_is_not(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    both_have_written(&mut at_ada, &mut at_bob, (&ada, &bob)).await;
    until_online(&mut at_ada, &bob).await;
    chat.kill(chat.core_roles()[0]);
    let longer = GRACE + Duration::from_secs(8);
    let told = tokio::time::timeout(longer, async {
        loop {
            let frame = change(&mut at_ada, &bob).await;
            assert_eq!(frame["online"], true, "Bob has a socket");
        }
    });
    assert!(told.await.is_err());
    assert_eq!(state(&mut at_ada, &bob).await["online"], true);
}

/// Who watches is at another core than those who are watched, of whom one loses their edge meanwhile.
async fn a_killed_bus_leaves_no_ghost_and_nobody_offline_who_is_not(arrangement: Arrangement) {
    let mut nats = NatsServer::start().await;
    let builder = TestChat::builder(arrangement).edges(4).engine(Engine::Nats, nats.server());
    // Not all that is told here is read at once.
    let builder = builder.set("ping-interval", "300s");
    let mut chat = builder.start().await;
    let users = ["ada", "bob", "carol"].map(|name| chat.stranger(name));
    let [ada, bob, carol] = &users;
    // Edges of odd numbers begin with the second core.
    let mut at_ada = Client::live(chat.edge_at(0), ada).await;
    let mut at_bob = Client::live(chat.edge_at(1), bob).await;
    let mut at_carol = Client::live(chat.edge_at(3), carol).await;
    at_bob.say(ada, "hello").await;
    at_carol.say(ada, "hello").await;
    eventually("both", async || {
        let states = at_ada.ask(watch(&[bob, carol])).await["states"].clone();
        [0, 1].iter().all(|index| states[index]["online"] == true).then_some(())
    })
    .await;

    nats.kill();
    let killed = Instant::now();
    chat.kill(chat.edge_roles()[1]);
    let frame = at_ada.next_of("presence").await;
    assert_eq!((&frame["peer_id"], &frame["online"]), (&json!(bob.id), &json!(false)));
    assert!(killed.elapsed() < PROMISED, "{:?}", killed.elapsed());
    nats.start_again().await;
    for role in chat.core_roles() {
        let log = chat.log(role);
        eventually("the bus", async || (log.count_of("the bus is connected") >= 2).then_some(()))
            .await;
    }
    let _at_bob = Client::live(chat.edge_at(3), bob).await;
    let frame = at_ada.next_of("presence").await;
    assert_eq!((&frame["peer_id"], &frame["online"]), (&json!(bob.id), &json!(true)));
    // Longer than it takes until a leave is told that none was.
    let longer = tokio::time::timeout(GRACE * 2, at_ada.next_of("presence"));
    assert!(longer.await.is_err(), "nobody has left");
    drop(at_carol);
    let frame = at_ada.next_of("presence").await;
    assert_eq!((&frame["peer_id"], &frame["online"]), (&json!(carol.id), &json!(false)));
}
