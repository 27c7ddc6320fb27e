//! Tickets in the place of tokens, each of which opens one socket in the whole deployment.

use std::task::Poll;

use futures_util::{StreamExt as _, poll};
use netrox_harness::within;
use tokio_tungstenite::tungstenite::Message;

use super::{
    action::{DEVICES, From},
    case::Case,
    device::SPENT,
    wire::{self, Break, Stream},
};
use crate::v2::view::Rest;

/// A connection by a ticket that another was opened by.
#[derive(Debug)]
pub(super) struct Spent {
    user: usize,
    stream: Option<Stream>,
}

impl Spent {
    /// Nothing comes but its close.
    pub(super) async fn pump(&mut self) {
        while let Some(stream) = &mut self.stream {
            match poll!(stream.next()) {
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Poll::Ready(Some(Ok(Message::Close(close)))) => {
                    let code = close.map(|close| u16::from(close.code));
                    assert!([None, Some(SPENT), Some(1001)].contains(&code), "{code:?}");
                    self.stream = None;
                }
                Poll::Ready(Some(Ok(other))) => panic!("a ticket opens two sockets: {other:?}"),
                Poll::Ready(Some(Err(_)) | None) => self.stream = None,
                Poll::Pending => return,
            }
        }
    }
}

impl Case<'_> {
    pub(super) async fn connect_by_ticket(
        &mut self,
        device: usize,
        from: &From,
        breaks: Option<Break>,
    ) {
        let (bought_at, edge, other) = (self.edge(), self.edge(), self.edge());
        let user = device / DEVICES;
        let bought = Rest { edge: bought_at, user: &self.users[user] }.ticket().await;
        let Some(ticket) = bought else { return };
        let credential = format!("ticket={ticket}");
        self.devices[device].connect_by(&credential, edge, from, breaks).await;
        // More of them in a minute would be answered late.
        let is_first = self.spent.iter().all(|spent| spent.user != user);
        if self.devices[device].is_connected() && is_first {
            let path = format!("/ws/chat/room/?protocol=2&{credential}");
            let stream = within("a handshake", wire::open(other.address, &path, None)).await;
            self.spent.push(Spent { user, stream });
        }
    }
}
