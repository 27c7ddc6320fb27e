//! Somebody who is shown what a user receives.

use std::{ops::ControlFlow, time::Duration};

use netrox_harness::{Socket, crowding::crowded};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{
    book::Book,
    stream::{Lost, Position, Stream},
};

/// How long nothing may come while something is to come.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
/// What a documented socket is closed with where its position is lost.
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

    pub(super) fn stream(name: impl Into<String>, stream: Stream) -> Self {
        Self { name: name.into(), view: View::Stream(Box::new(stream)) }
    }

    /// Where a stream is.
    pub(super) fn position(&self) -> Option<Position> {
        match &self.view {
            View::Socket(_) => None,
            View::Stream(stream) => Some(stream.position()),
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
            View::Socket(socket) => loop {
                match socket.next_message().await {
                    Ok(Message::Text(text)) => {
                        return ControlFlow::Continue(parse(&self.name, &text));
                    }
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                        assert_eq!(u16::from(code), POSITION_LOST, "{}: {reason}", self.name);
                        return ControlFlow::Break(());
                    }
                    other => panic!("{}: instead of a message: {other:?}", self.name),
                }
            },
            View::Stream(stream) => match stream.next().await {
                Ok(message) => ControlFlow::Continue((message.id, message.body)),
                Err(Lost) => ControlFlow::Break(()),
            },
        }
    }
}

fn parse(name: &str, frame: &str) -> (i64, String) {
    let shown: Value = serde_json::from_str(frame).expect("a JSON frame");
    assert_eq!(shown["action"], "re_message", "{name}: {frame}");
    let id = shown["created_msg_id"].as_i64().expect("an id");
    (id, shown["message_body"].as_str().expect("a text").to_owned())
}
