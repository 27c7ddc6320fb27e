//! SIGTERM ends the program in order: no new work, work under way finished, sockets closed with
//! 1001, exit 0 within 10 s (PROTOCOL section 6).

use std::time::{Duration, Instant};

use netrox_harness::{
    Arrangement, Role, TestChat, crowding::crowded, each, multipart::Form, process::Signal,
    raw::Raw, socket::End,
};

use crate::flow::{self, Flow, seed};

each![
    a_drain_under_load_closes_every_socket_and_loses_nothing,
    a_drain_waits_for_nobody_forever,
    an_upload_under_way_is_stored_or_leaves_nothing,
];

/// What the program promises.
const PROMISED: Duration = Duration::from_secs(10);
/// What an idle machine takes to tell.
const SLACK: Duration = Duration::from_secs(2);

/// Drains one process under whatever goes on.
async fn drain(chat: &mut TestChat, role: Role) {
    let begun = Instant::now();
    let status = chat.terminate(role).await;
    assert_eq!(status.code(), Some(0), "{status:?}");
    let (took, most) = (begun.elapsed(), PROMISED + crowded(SLACK));
    assert!(took < most, "{took:?}");
}

async fn a_drain_under_load_closes_every_socket_and_loses_nothing(arrangement: Arrangement) {
    // Nobody reads the idle ones meanwhile, which takes a slow machine longer than pings wait.
    let mut chat = TestChat::builder(arrangement)
        .set("send-rate", "0")
        .set("ping-interval", "10m")
        .start()
        .await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(chat.join("idle").await.1);
    }
    let mut flow = Flow::start(&chat, &chat.edges(), false, seed()).await;
    flow.progress(500).await;
    for edge in chat.edge_roles() {
        drain(&mut chat, edge).await;
    }
    for socket in &mut idle {
        assert_eq!(socket.end().await, End::Closed(1001));
    }
    for receiver in 0..flow::RECEIVERS {
        assert_eq!(flow.first_end(receiver).await, flow::End::Closed(1001));
    }
    let rest = chat.core_roles().into_iter().filter(|role| *role != Role::Serve);
    for core in rest.collect::<Vec<_>>() {
        drain(&mut chat, core).await;
        chat.spawn(core).await;
    }
    for edge in chat.edge_roles() {
        chat.spawn(edge).await;
    }
    chat.ready().await;
    flow.progress(200).await;
    flow.verify(&chat).await;
}

/// Clients that never finish what they began.
async fn a_drain_waits_for_nobody_forever(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("drain-timeout", "2s").start().await;
    let user = chat.user("ada").await;
    let token = &user.token;
    let silent = chat.edge().raw().await;
    let mut half_a_head = chat.edge().raw().await;
    half_a_head.write("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: ").await;
    let mut kept_alive = chat.edge().raw().await;
    kept_alive.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(kept_alive.head().await.starts_with("HTTP/1.1 200 "));
    let mut half_an_upload = chat.edge().raw().await;
    half_an_upload
        .write(format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {}\r\nContent-Length: 1000000\r\n\r\n",
            Form::CONTENT_TYPE
        ))
        .await;
    half_an_upload.write(Form::new().file("canary.bin", [7; 5_000]).unfinished()).await;
    // Neither reads what it is sent nor answers a close.
    let mut deaf = chat.edge().raw().await;
    deaf.upgrade(&format!("/ws/chat/room/?token={token}")).await;
    let mut half_a_frame = chat.edge().raw().await;
    half_a_frame.upgrade(&format!("/ws/chat/room/?token={token}")).await;
    half_a_frame.write([0x81, 0xfe, 0x10]).await;
    for role in chat.roles().into_iter().rev() {
        drain(&mut chat, role).await;
    }
    assert!(chat.media_files().is_empty(), "{:?}", chat.media_files());
    drop((silent, half_a_head, kept_alive, half_an_upload, deaf, half_a_frame));
}

async fn an_upload_under_way_is_stored_or_leaves_nothing(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let bob = chat.user("bob").await;
    let mut kept = 0;
    // Of a core whose edge stays, and of an edge.
    for role in chat.roles() {
        let mut uploads = Vec::new();
        for number in 0..12 {
            let ada = chat.user("ada").await;
            let body = Form::new()
                .text("receiver", &bob.id)
                .file("canary.bin", vec![number as u8; 60_000])
                .finish();
            let mut raw = chat.edge().raw().await;
            raw.write(format!(
                "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n\
                 Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                ada.token,
                Form::CONTENT_TYPE,
                body.len()
            ))
            .await;
            // Some have only their head sent, some lack their last byte.
            let sent = body.len() * number / 12;
            raw.write(&body[..sent]).await;
            uploads.push((ada, raw, body.slice(sent..)));
        }
        chat.process(role).signal(Signal::TERM);
        let mut stored = Vec::new();
        for (ada, mut raw, rest) in uploads {
            raw.try_write(rest).await;
            let answer = answer(&mut raw).await;
            assert!(matches!(answer, None | Some(201 | 503)), "{answer:?}");
            stored.push((ada, answer == Some(201)));
        }
        assert_eq!(chat.ended(role).await.code(), Some(0));
        chat.spawn(role).await;
        chat.ready().await;
        for (ada, stored) in stored {
            let history = chat.history(&bob, &ada).await;
            assert!(history.len() <= 1);
            // An answer may be lost on its way; a message is not, once it was shown.
            assert!(!stored || history.len() == 1, "201, and not there");
            for message in &history {
                let path = message["attached_file"].as_str().expect("a path");
                let answer = chat.get(path).send().await;
                assert_eq!((answer.status, answer.body.len()), (200, 60_000));
                kept += 1;
            }
        }
        chat.keeps_files(kept).await;
    }
}

/// The status of an answer, if one comes.
async fn answer(raw: &mut Raw) -> Option<u16> {
    let answer = String::from_utf8_lossy(&raw.rest().await).into_owned();
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some(status.parse().expect("a status"))
}
