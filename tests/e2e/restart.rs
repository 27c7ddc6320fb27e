//! Parts of a deployment go and come back under open connections (ARCHITECTURE.md, G7).

use std::collections::BTreeMap;

use crate::flow::{Flow, seed};
use netrox_harness::{
    Arrangement, Role, TestChat, alarms::Before, eventually, multipart::Form, process::Signal,
    run_test,
};

/// Sends messages until one is delivered; what is not must be answered with `unavailable`. Gives
/// the text that came, and whether any was refused before.
async fn send_until_delivered(
    from: &mut netrox_harness::Socket,
    to: &netrox_harness::User,
    at: &mut netrox_harness::Socket,
) -> (String, bool) {
    let mut refused = false;
    for number in 0.. {
        let body = format!("canary attempt {number}");
        from.say(to, &body).await;
        tokio::select! {
            answer = from.next() => {
                assert_eq!(answer["code"], "unavailable", "{answer}");
                refused = true;
            }
            frame = at.next() => {
                assert_eq!(frame["message_body"], body.as_str(), "{frame}");
                return (body, refused);
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    unreachable!("numbers do not end");
}

#[tokio::test]
async fn sockets_stay_open_while_the_core_is_away() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Split)
            .set("send-rate", "0")
            .set("store-wait", "0")
            .start()
            .await;
        let (ada, mut at_ada) = chat.join("ada").await;
        let (bob, mut at_bob) = chat.join("bob").await;
        at_ada.say(&bob, "canary before").await;
        at_bob.expect_body("canary before").await;
        let mut delivered = vec!["canary before".to_owned()];
        let mut before = Some(Before::of(&chat).await);
        let mut lives = Before::of(&chat).await;
        for end in [Signal::KILL, Signal::TERM, Signal::KILL] {
            // Errors come in the order of the frames: what was delivered is answered as well.
            for (socket, peer) in [(&mut at_ada, &bob), (&mut at_bob, &ada)] {
                socket.say(peer, "").await;
                socket.expect_error("invalid_field").await;
            }
            chat.process(Role::Core(0)).signal(end);
            chat.ended(Role::Core(0)).await;

            // Whatever is sent before the edge has seen it is in doubt.
            eventually("not ready", || async {
                (chat.get("/readyz").send().await.status == 503).then_some(())
            })
            .await;

            // Not every stream has seen it yet: one that has not leaves a message in doubt.
            loop {
                at_ada.say(&bob, "canary refused").await;
                match at_ada.next().await["code"].as_str() {
                    Some("unavailable") => break,
                    code => assert_eq!(code, Some("outcome_unknown")),
                }
            }
            // Nothing is stored, and that is said at once.
            at_ada.say(&bob, "canary refused").await;
            at_ada.expect_error("unavailable").await;
            at_ada.dispatch(1).await;
            at_ada.expect_error("unavailable").await;
            // What needs no core is as it was.
            at_ada.say(&bob, "").await;
            at_ada.expect_error("invalid_field").await;
            for path in ["/chat/get-user-threads/", &format!("/chat/messages/{}/", bob.id)] {
                let answer = chat.get(path).bearer(&ada.token).send().await;
                answer.assert_failure(503);
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
            }
            if let Some(before) = before.take() {
                let alarms = ["NodeIsGone", "EdgeIsCutOff", "UsersAreRefused"];
                before.alarms_if_it_goes_on(&chat, &[Role::Core(0)], &alarms).await;
            }
            let form = Form::new().text("receiver", &bob.id).file("a.txt", "canary");
            let answer = chat.upload(&ada, form).await;
            answer.assert_failure(503);
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert_eq!(chat.get("/healthz").send().await.status, 200);

            chat.spawn(Role::Core(0)).await;
            let (body, _) = send_until_delivered(&mut at_ada, &bob, &mut at_bob).await;
            delivered.push(body);
            let (body, _) = send_until_delivered(&mut at_bob, &ada, &mut at_ada).await;
            delivered.push(body);
            chat.ready().await;
            lives.scrape(&chat).await;
        }
        lives.alarms(&chat, &[], &["NodeRestarts"]).await;
        let history = chat.history(&bob, &ada).await;
        let texts: Vec<_> = history.iter().map(|message| &message["message"]).collect();
        assert_eq!(texts, delivered.iter().collect::<Vec<_>>());
    })
    .await;
}

/// What was committed while an edge could not see it is delivered when it can again.
#[tokio::test]
async fn an_edge_catches_up_on_what_others_stored() {
    run_test(async {
        let mut chat =
            TestChat::builder(Arrangement::Split).edges(2).set("send-rate", "0").start().await;
        let (ada, mut at_ada) = chat.join("ada").await;
        let (cyd, mut at_cyd) = chat.join("cyd").await;
        let bob = chat.stranger("bob");
        let mut at_bob = chat.edge_at(1).connect(&bob).await;
        for round in 0..5 {
            // The second edge stands still while the core it is connected to goes and comes back, and
            // messages are stored.
            chat.process(Role::Edge(1)).signal(Signal::STOP);
            chat.kill(Role::Core(0));
            chat.spawn(Role::Core(0)).await;
            let mut sent = Vec::new();
            for number in 0..20 {
                sent.push(format!("canary {round} {number}"));
            }
            send_until_delivered(&mut at_ada, &cyd, &mut at_cyd).await;
            for body in &sent {
                at_ada.say(&bob, body).await;
            }
            eventually("all stored", || async {
                let history = chat.history(&ada, &bob).await;
                (history.len() == (round + 1) * sent.len()).then_some(())
            })
            .await;
            chat.process(Role::Edge(1)).signal(Signal::CONT);
            for body in &sent {
                at_bob.expect_body(body).await;
            }
        }
        at_bob.expect_silence(&bob, &mut at_ada).await;
    })
    .await;
}

/// A core that neither answers nor goes away costs its callers a deadline, not their connection.
#[tokio::test]
async fn a_core_that_hangs_is_answered_for() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Split)
            .set("send-rate", "0")
            .set("store-wait", "0")
            .start()
            .await;
        let (ada, mut at_ada) = chat.join("ada").await;
        let (bob, mut at_bob) = chat.join("bob").await;
        chat.process(Role::Core(0)).signal(Signal::STOP);
        let answer = chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await;
        answer.assert_failure(503);
        at_ada.say(&bob, "canary while it hangs").await;
        let answer = at_ada.next().await;
        assert_eq!(answer["action"], "error", "{answer}");
        chat.process(Role::Core(0)).signal(Signal::CONT);
        let (body, _) = send_until_delivered_or_late(&mut at_ada, &bob, &mut at_bob).await;
        let history = chat.history(&bob, &ada).await;
        let count =
            |text: &str| history.iter().filter(|message| message["message"] == text).count();
        assert_eq!(count(&body), 1);
        if answer["code"] == "unavailable" {
            assert_eq!(count("canary while it hangs"), 0, "refused as not stored, and stored");
        }
        at_bob.expect_silence(&bob, &mut at_ada).await;
    })
    .await;
}

/// As above, where an older message of unknown outcome may come first.
async fn send_until_delivered_or_late(
    from: &mut netrox_harness::Socket,
    to: &netrox_harness::User,
    at: &mut netrox_harness::Socket,
) -> (String, bool) {
    for number in 0.. {
        let body = format!("canary attempt {number}");
        from.say(to, &body).await;
        loop {
            tokio::select! {
                answer = from.next() => {
                    assert_eq!(answer["action"], "error", "{answer}");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    break;
                }
                frame = at.next() => {
                    if frame["message_body"] == body.as_str() {
                        return (body, number > 0);
                    }
                }
            }
        }
    }
    unreachable!("numbers do not end");
}

/// Edges hold nothing: clients of one that was killed go on at another.
#[tokio::test]
async fn clients_of_a_killed_edge_go_on_at_another() {
    run_test(async {
        let mut chat =
            TestChat::builder(Arrangement::Split).edges(2).set("send-rate", "0").start().await;
        let edges = [chat.edge_at(0), chat.edge_at(1)];
        let mut flow = Flow::start(&chat, &edges, false, seed()).await;
        for round in 0..8 {
            flow.progress(200).await;
            chat.restart(Role::Edge(round % 2)).await;
        }
        flow.progress(200).await;
        flow.verify(&chat).await;
    })
    .await;
}

/// All devices of a user, wherever they are connected.
#[tokio::test]
async fn a_message_reaches_every_edge() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Split).edges(2).start().await;
        let (_, mut at_ada) = chat.join("ada").await;
        let bob = chat.stranger("bob");
        let mut devices = Vec::new();
        for device in 0..6 {
            devices.push(chat.edge_at(device % 2).connect(&bob).await);
        }
        for number in 0..20 {
            let body = format!("canary {number}");
            at_ada.say(&bob, &body).await;
            let mut frames = Vec::new();
            for device in &mut devices {
                frames.push(device.expect_body(&body).await);
            }
            assert!(frames.windows(2).all(|pair| pair[0] == pair[1]), "{frames:?}");
        }
    })
    .await;
}

/// Two processes never share one data directory (PROTOCOL section 6).
#[tokio::test]
async fn a_second_process_on_one_data_directory_exits_with_2() {
    run_test(async {
        for arrangement in [Arrangement::Serve, Arrangement::Split] {
            let mut chat = TestChat::start(arrangement).await;
            let (_, mut at_ada) = chat.join("ada").await;
            let (bob, mut at_bob) = chat.join("bob").await;
            for second in ["serve", "core"] {
                let variables = [
                    ("NETROX_CHAT_DATA_DIR", chat.data_dir().into_os_string()),
                    ("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0".into()),
                    ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0".into()),
                ];
                let ended =
                    netrox_harness::process::run(chat.directory(), [second], variables).await;
                assert_eq!(ended.status.code(), Some(2), "{ended:?}");
                assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{ended:?}");
                let names_it = ["data-dir", &chat.data_dir().display().to_string()]
                    .iter()
                    .any(|name| ended.stderr.contains(name));
                assert!(names_it, "{ended:?}");
            }
            // The first goes on undisturbed, and leaves no lock behind when it is killed.
            at_ada.say(&bob, "canary").await;
            at_bob.expect_body("canary").await;
            let core = chat.core_role();
            chat.restart(core).await;
        }
    })
    .await;
}

/// A write is either not begun or finished, whatever becomes of the client that asked for it.
#[tokio::test]
async fn clients_that_cut_off_at_once_leave_whole_messages() {
    run_test(async {
        for arrangement in [Arrangement::Serve, Arrangement::Split] {
            let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
            let (bob, mut at_bob) = chat.join("bob").await;
            let ada = chat.user("ada").await;
            for round in 0..50 {
                let mut raw = chat.edge().raw().await;
                raw.upgrade(&format!("/ws/chat/room/?token={}", ada.token)).await;
                for number in 0..10 {
                    let frame = netrox_harness::socket::chat_message(
                        &bob.id,
                        &format!("canary {round} {number}"),
                    );
                    let frame = frame.to_string();
                    raw.write(netrox_harness::raw::client_frame(0x81, frame.as_bytes())).await;
                }
            }
            let (_, mut at_cyd) = chat.join("cyd").await;
            at_cyd.say(&bob, "canary fence").await;
            let mut received = Vec::new();
            loop {
                let frame = at_bob.next().await;
                if frame["message_body"] == "canary fence" {
                    break;
                }
                received.push(frame["created_msg_id"].clone());
            }
            // Some of the last may come behind the fence.
            let history = chat.history(&bob, &ada).await;
            let stored: Vec<_> = history.iter().map(|message| message["id"].clone()).collect();
            assert!(stored.starts_with(&received), "{stored:?} {received:?}");
            let mut rounds = BTreeMap::<u32, Vec<u32>>::new();
            for message in &history {
                let text = message["message"].as_str().expect("a text");
                let numbers = text.split(' ').skip(1).map(|word| word.parse().expect("a number"));
                let [round, number] = numbers.collect::<Vec<_>>()[..] else { panic!("{text}") };
                rounds.entry(round).or_default().push(number);
            }
            for (round, numbers) in rounds {
                assert!(
                    numbers.iter().copied().eq(0..numbers.len() as u32),
                    "{round}: {numbers:?}"
                );
            }
        }
    })
    .await;
}
