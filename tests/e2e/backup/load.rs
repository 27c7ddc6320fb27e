//! Backups under load, half of them with themselves or the server killed: each that says it is whole has all that was
//! acknowledged before it began.
//!
//! `NETROX_CHAT_TEST_BACKUPS` asks for more than the few of a usual run. A hundred take longer than a test may without
//! `NETROX_CHAT_TEST_FULL=1`.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use netrox_harness::{
    Arrangement, Edge, Role, TestChat, User, each,
    grpc::Authorized,
    multipart::Form,
    process::{self, Process},
};
use netrox_proto::v1::{SendMessageRequest, chat_service_client::ChatServiceClient};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{printed, restore, start_on, whole};
use crate::flow::seed;

each![; serve: every_whole_backup_has_what_was_acknowledged_before_it_began];

const BACKUPS: usize = 4;
const SENDERS: usize = 16;
const UPLOADERS: usize = 2;
/// Between two tries of what does not work at the moment.
const PAUSE: Duration = Duration::from_millis(10);

/// What was acknowledged: texts, and files with their paths.
#[derive(Debug, Default)]
struct Acknowledged {
    texts: Mutex<Vec<(usize, String)>>,
    files: Mutex<Vec<(String, String)>>,
}

/// How much of it there was at a moment.
#[derive(Debug, Clone, Copy)]
struct Mark {
    texts: usize,
    files: usize,
}

impl Acknowledged {
    fn mark(&self) -> Mark {
        let texts = self.texts.lock().expect("texts").len();
        Mark { texts, files: self.files.lock().expect("files").len() }
    }
}

async fn send(
    mut chat: ChatServiceClient<Authorized>,
    (index, sender): (usize, User),
    receiver: User,
    acknowledged: Arc<Acknowledged>,
    stop: CancellationToken,
) {
    for number in 0.. {
        let body = format!("canary {index} {number}");
        let request = SendMessageRequest {
            sender_id: sender.id.clone(),
            receiver_id: receiver.id.clone(),
            body: body.clone(),
            ..Default::default()
        };
        if stop.is_cancelled() {
            return;
        }
        match chat.send_message(request).await {
            Ok(_) => acknowledged.texts.lock().expect("texts").push((index, body)),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn upload(
    edge: Edge,
    (index, sender): (usize, User),
    receiver: User,
    acknowledged: Arc<Acknowledged>,
    stop: CancellationToken,
) {
    for number in 0.. {
        let content = format!("canary of file {index} {number} ").repeat(number % 3_000);
        let form = Form::new().text("receiver", &receiver.id).file("a.txt", &content);
        if stop.is_cancelled() {
            return;
        }
        match edge.upload_request(&sender, form).try_send().await {
            Ok(answer) if answer.status == 201 => {
                let path = &answer.json()["entity"]["message"]["attached_file"];
                let path = path.as_str().expect("a path").to_owned();
                acknowledged.files.lock().expect("files").push((path, content));
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn every_whole_backup_has_what_was_acknowledged_before_it_began(arrangement: Arrangement) {
    let backups = std::env::var("NETROX_CHAT_TEST_BACKUPS").ok();
    let backups = backups.map_or(BACKUPS, |backups| backups.parse().expect("a number"));
    let mut random = StdRng::seed_from_u64(seed());
    let builder = TestChat::builder(arrangement).set("max-uploads-per-user", "8");
    let mut chat = builder.start().await;
    let receiver = chat.user("receiver").await;
    let mut senders = Vec::new();
    for index in 0..SENDERS + UPLOADERS {
        senders.push(chat.user(&format!("sender-{index}")).await);
    }
    let (acknowledged, stop) = (Arc::<Acknowledged>::default(), CancellationToken::new());
    let begun = Instant::now();
    let mut load = JoinSet::new();
    for (index, sender) in senders.iter().cloned().enumerate() {
        let (ledger, stop, to) = (Arc::clone(&acknowledged), stop.clone(), receiver.clone());
        if index < SENDERS {
            load.spawn(send(chat.chat_service(), (index, sender), to, ledger, stop));
        } else {
            load.spawn(upload(chat.edge(), (index, sender), to, ledger, stop));
        }
    }
    let mut marks: Vec<(String, Mark)> = Vec::new();
    for number in 0..backups {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..400))).await;
        let (mark, before) = (acknowledged.mark(), whole(&chat));
        let mut command = process::command(chat.directory());
        command.args(["backup", "--data-dir", "data", "--to", "backups", "--verify"]);
        let mut backup = Process::spawn(command);
        let delay = Duration::from_millis(random.random_range(0..600));
        match number % 4 {
            1 => {
                tokio::time::sleep(delay).await;
                backup.kill();
            }
            3 => {
                tokio::time::sleep(delay / 2).await;
                chat.restart(Role::Serve).await;
                let status = backup.wait().await;
                assert!(status.success(), "{:?}", backup.log().lines());
            }
            _ => {
                let status = backup.wait().await;
                assert!(status.success(), "{:?}", backup.log().lines());
            }
        }
        marks.extend(whole(&chat).difference(&before).map(|name| (name.clone(), mark)));
    }
    stop.cancel();
    load.join_all().await;
    let (end, took) = (acknowledged.mark(), begun.elapsed());
    let rate = end.texts as f64 / took.as_secs_f64();
    eprintln!("{} of {backups} backups are whole", marks.len());
    eprintln!("{end:?} acknowledged in {took:?}, {rate:.0} texts a second");
    assert!(marks.len() >= backups - backups / 4 - 1, "{marks:?}");
    assert!(end.texts > 0 && end.files > 0, "{end:?}");
    for (name, mark) in marks {
        verify(&chat, &name, mark, &acknowledged, &senders, &receiver).await;
    }
}

/// A server on what was restored shows all of it.
async fn verify(
    chat: &TestChat,
    name: &str,
    mark: Mark,
    acknowledged: &Acknowledged,
    senders: &[User],
    receiver: &User,
) {
    printed(&restore(chat, Some(name), name).await);
    let data_dir = chat.directory().join(name);
    let restored = start_on(&data_dir).await;
    let texts = acknowledged.texts.lock().expect("texts")[..mark.texts].to_vec();
    for (index, sender) in senders.iter().enumerate().take(SENDERS) {
        let expected = texts.iter().filter(|(of, _)| *of == index).map(|(_, body)| body);
        let history = restored.history(receiver, sender).await;
        let mut shown = history.iter().map(|message| message["message"].as_str().expect("a text"));
        for body in expected {
            assert!(shown.any(|shown| shown == body), "{name} lacks {body:?}, or its order");
        }
    }
    let files = acknowledged.files.lock().expect("files")[..mark.files].to_vec();
    for (path, content) in files {
        let answer = restored.get(&path).send().await;
        assert_eq!(answer.status, 200, "{name}: {path}: {answer:?}");
        assert!(answer.body == content.as_bytes(), "{name}: {path} is another file");
    }
    drop(restored);
    std::fs::remove_dir_all(data_dir).expect("remove a directory");
}
