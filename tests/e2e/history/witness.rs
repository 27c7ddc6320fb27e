//! Somebody who is shown what a user receives.

use std::{ops::ControlFlow, time::Duration};

use netrox_harness::{Socket, crowding::crowded};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{
    book::Book,
    device::Device,
    stream::{Lost, Position, Stream},
};

/// How long nothing may come while something is to come.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
/// What a socket of either generation is closed with where its position is lost.
const POSITION_LOST: u16 = 1001;

/// What became of a socket or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was shown everything.
    Stays,
    /// It was told that its position is lost, after the beginning of it or before.
    Ends,
}

enum View {
    Socket(Box<Socket>),
    /// Of the second generation: it is shown also what its user writes.
    Device(Box<Device>),
    Stream(Box<Stream>),
}

/// Its name says which.
pub(super) struct Witness {
    pub(super) name: String,
    view: View,
}

impl Witness {
    pub(super) fn socket(name: impl Into<String>, socket: Socket) -> Self {
        Self { name: name.into(), view: View::Socket(Box::new(socket)) }
    }

    pub(super) fn device(name: impl Into<String>, device: Device) -> Self {
        Self { name: name.into(), view: View::Device(Box::new(device)) }
    }

    pub(super) fn stream(name: impl Into<String>, stream: Stream) -> Self {
        Self { name: name.into(), view: View::Stream(Box::new(stream)) }
    }

    /// Where a stream is.
    pub(super) fn position(&self) -> Option<Position> {
        match &self.view {
            View::Socket(_) | View::Device(_) => None,
            View::Stream(stream) => Some(stream.position()),
        }
    }

    pub(super) fn as_device(&self) -> Option<&Device> {
        match &self.view {
            View::Device(device) => Some(device),
            View::Socket(_) | View::Stream(_) => None,
        }
    }

    /// Takes what it is shown until it has all of these, or was told that its position is lost. Whatever comes has to
    /// be the next of them.
    pub(super) async fn follow(&mut self, book: &Book, ids: &[i64]) -> Fate {
        for (count, expected) in ids.iter().enumerate() {
            match tokio::time::timeout(crowded(LONGEST_SILENCE), self.next()).await {
                Ok(ControlFlow::Continue((id, text))) => {
                    let due = (*expected, book.text(*expected));
                    assert!(
                        (id, text.as_str()) == due,
                        "{}: shown {text:?} in place of {due:?}, after {count} of {}",
                        self.name,
                        ids.len(),
                    );
                }
                Ok(ControlFlow::Break(())) => return Fate::Ends,
                Err(_) => panic!(
                    "{}: not shown, and told nothing: {:?}, after {count} of {}",
                    self.name,
                    book.texts(&ids[count..]),
                    ids.len(),
                ),
            }
        }
        Fate::Stays
    }

    /// The next message that is shown, or the end.
    async fn next(&mut self) -> ControlFlow<(), (i64, String)> {
        match &mut self.view {
            View::Socket(socket) => {
                let frame = next_frame(&self.name, socket).await?;
                ControlFlow::Continue(parse(&self.name, &frame))
            }
            View::Device(device) => {
                let frame = next_frame(&self.name, &mut device.socket).await?;
                ControlFlow::Continue(device.take(&frame))
            }
            View::Stream(stream) => match stream.next().await {
                Ok(message) => ControlFlow::Continue((message.id, message.body)),
                Err(Lost) => ControlFlow::Break(()),
            },
        }
    }
}

/// The next frame, or the end.
async fn next_frame(name: &str, socket: &mut Socket) -> ControlFlow<(), String> {
    loop {
        match socket.next_message().await {
            Ok(Message::Text(text)) => return ControlFlow::Continue(text.to_string()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                assert_eq!(u16::from(code), POSITION_LOST, "{name}: {reason}");
                return ControlFlow::Break(());
            }
            other => panic!("{name}: instead of a message: {other:?}"),
        }
    }
}

fn parse(name: &str, frame: &str) -> (i64, String) {
    let shown: Value = serde_json::from_str(frame).expect("a JSON frame");
    assert_eq!(shown["action"], "re_message", "{name}: {frame}");
    let id = shown["created_msg_id"].as_i64().expect("an id");
    (id, shown["message_body"].as_str().expect("a text").to_owned())
}
