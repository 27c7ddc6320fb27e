//! The clients of the traffic: each uses a connection while it lasts, and opens another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use netrox_harness::{Edge, PATIENCE, User, socket::chat_message};
use rand::{RngExt as _, rngs::StdRng};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::{
    Cast, End, PAUSE, RECEIVERS, SENDERS, WRITES_FOR, ledger::Ledger, receiver_of, text_of,
};

/// After this without news a sender takes what is under way for lost.
const NO_NEWS: Duration = Duration::from_millis(300);

/// Opens a socket; `None` where that does not work at the moment.
pub(super) async fn open(edge: Edge, user: &User) -> Option<WebSocketStream<TcpStream>> {
    open_path(edge, &format!("/ws/chat/room/?token={}", user.token)).await
}

/// The same with a query of any kind.
pub(super) async fn open_path(edge: Edge, path: &str) -> Option<WebSocketStream<TcpStream>> {
    let handshake = async {
        let tcp = TcpStream::connect(edge.address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let uri = format!("ws://{}{path}", edge.address);
        client_async(uri, tcp).await.ok().map(|(stream, _)| stream)
    };
    timeout(PATIENCE, handshake).await.ok().flatten()
}

/// Sends one message after the other, as many at a time as the window holds.
pub(super) async fn send(
    cast: Arc<Cast>,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    index: usize,
    window: u64,
) {
    let mut next = 0;
    let mut seen = ledger.progress(index);
    for attempt in index.. {
        if stop.is_cancelled() {
            return;
        }
        let Some(socket) = open(cast.edge(attempt), &cast.senders[index]).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        ledger.sender_began(index, next);
        let (mut sink, mut frames) = socket.split();
        // What was under way on the last connection is settled, one way or the other.
        let mut settled = next;
        let mut sent_at = Instant::now();
        // Whether a refusal could be of a message that was given up.
        let mut in_doubt = false;
        loop {
            if next < settled + window {
                sent_at = Instant::now();
            }
            let fill = async {
                while next < settled + window {
                    let receiver = &cast.receivers[receiver_of(index, next)];
                    let frame = chat_message(&receiver.id, &text_of(index, next)).to_string();
                    ledger.sends(index, next);
                    next += 1;
                    sink.feed(Message::text(frame)).await?;
                }
                sink.flush().await
            };
            // A peer that stops reading is as good as gone.
            match timeout(PATIENCE, fill).await {
                Ok(Ok(())) => {}
                _ => {
                    ledger.sender_ended();
                    break;
                }
            }
            let patience = if cast.answered && window == 1 { PATIENCE } else { NO_NEWS };
            tokio::select! {
                () = stop.cancelled() => return,
                frame = frames.next() => match frame {
                    Some(Ok(Message::Text(frame))) => {
                        let code = ledger.refused(&frame);
                        // What became of a commit in doubt may be looked for for longer.
                        if window == 1 && !in_doubt && code == "unavailable" {
                            ledger.refused_after(sent_at.elapsed());
                            ledger.never_stored(text_of(index, next - 1));
                        }
                        settled = (settled + 1).min(next);
                        tokio::time::sleep(PAUSE).await;
                        // It may be of a message that was seen: on a new connection it is clear again what a
                        // refusal is of.
                        if window == 1 && code != "unavailable" {
                            break;
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        ledger.sender_ended();
                        break;
                    }
                    Some(Ok(_)) => {}
                },
                changed = seen.changed() => {
                    changed.expect("a ledger");
                    settled = settled.max(*seen.borrow_and_update());
                }
                () = tokio::time::sleep(patience) => {
                    assert!(patience == NO_NEWS, "message {} was lost without a word", next - 1);
                    settled = next;
                    in_doubt = true;
                }
            }
        }
    }
}

/// Notes whatever comes, and writes to the listeners meanwhile.
pub(super) async fn receive(cast: Arc<Cast>, ledger: Arc<Ledger>, index: usize) {
    let (sender, mut next) = (SENDERS + index, 0);
    for connection in 0.. {
        let Some(mut socket) = open(cast.edge(index + connection), &cast.receivers[index]).await
        else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        ledger.connected(index);
        if index < RECEIVERS {
            ledger.sender_began(sender, next);
        }
        let end = loop {
            match socket.next().await {
                Some(Ok(Message::Text(frame))) => {
                    let number = ledger.received(index, connection, &frame);
                    if index >= RECEIVERS || number.is_none_or(|number| number % WRITES_FOR != 0) {
                        continue;
                    }
                    let listener = &cast.receivers[receiver_of(sender, next)];
                    let frame = chat_message(&listener.id, &text_of(sender, next)).to_string();
                    ledger.sends(sender, next);
                    next += 1;
                    let sent = timeout(PATIENCE, socket.send(Message::text(frame))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        break End::Broken;
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    break End::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break End::Broken,
            }
        };
        ledger.ended(index, end);
    }
}

/// Reads histories all the time.
pub(super) async fn read(cast: Arc<Cast>, ledger: Arc<Ledger>, mut random: StdRng) {
    for attempt in 0.. {
        let index = random.random_range(0..cast.receivers.len());
        let authors = cast.authors_of(index);
        let author = authors[random.random_range(0..authors.len())];
        let receiver = &cast.receivers[index];
        let path = format!("/chat/messages/{}/", author.id);
        let request = cast.edge(attempt).get(&path).bearer(&receiver.token);
        if let Ok(answer) = request.try_send().await {
            match answer.status {
                200 => {
                    let answer = answer.json();
                    let messages = answer["entity"]["messages"].as_array().expect("messages");
                    messages.iter().for_each(|message| ledger.listed(message));
                }
                503 => {}
                _ => panic!("a history: {answer:?}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
