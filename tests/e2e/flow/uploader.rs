//! Uploads files and dispatches them.

use std::sync::Arc;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use netrox_harness::multipart::Form;
use serde_json::json;
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::{Cast, PAUSE, RECEIVERS, client::open, ledger::Ledger};

/// The name of an uploader's file of this number.
fn file_name(uploader: usize, number: usize) -> String {
    format!("canary-{uploader}-{number}.bin")
}

/// The content that belongs to a file name.
pub(super) fn content_of(name: &str) -> Vec<u8> {
    let numbers = name.trim_start_matches("canary-").trim_end_matches(".bin");
    let (uploader, number) = numbers.split_once('-').expect("the name of a file that was sent");
    let seed: u64 = uploader.parse::<u64>().expect("a number") * 1_000_003
        + number.parse::<u64>().expect("a number") * 7919;
    let words = (seed % 12_000) as u32;
    (0..words).flat_map(|word| (word ^ seed as u32).to_be_bytes()).collect()
}

pub(super) async fn run(
    cast: Arc<Cast>,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    index: usize,
) {
    let user = &cast.uploaders[index];
    let mut socket = None;
    for number in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let edge = cast.edge(number);
        let name = file_name(index, number);
        let form = Form::new()
            .file(&name, content_of(&name))
            .text("message", &format!("canary {name}"))
            .text("receiver", &cast.receivers[number % RECEIVERS].id);
        match edge.upload_request(user, form).try_send().await {
            Ok(answer) if answer.status == 201 => {
                let message = &answer.json()["entity"]["message"];
                ledger.listed(message);
                if socket.is_none() {
                    socket = open(edge, user).await;
                }
                if let Some(open) = socket.take() {
                    socket = dispatch(open, message["id"].as_i64().expect("an id")).await;
                }
            }
            Ok(answer) if answer.status == 503 => {}
            // Stored or not: the core went away with it, or the edge.
            Ok(answer) => assert_eq!(answer.status, 500, "{answer:?}"),
            Err(_) => socket = None,
        }
        sleep(PAUSE).await;
    }
}

/// Gives the socket back while it lasts.
async fn dispatch(
    mut socket: WebSocketStream<TcpStream>,
    message_id: i64,
) -> Option<WebSocketStream<TcpStream>> {
    let frame = json!({"action": "chat_message_file", "chat_id": message_id});
    socket.send(Message::text(frame.to_string())).await.ok()?;
    while let Some(frame) = socket.next().now_or_never() {
        match frame? {
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    Some(socket)
}
