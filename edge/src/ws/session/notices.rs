//! What a client is told before all that waits for it, since it says how much time there is. So it is rendered when there is room.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::Session;
use crate::ws::queue::Push;

/// What is to be told as soon as there is room.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// When the client is to connect anew.
    reconnects_at: Option<Instant>,
    /// When its token expires.
    pub(super) expires_at: Option<Instant>,
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Gives whether there was anything to tell, and room for it.
    pub(super) fn poll_notices(&mut self, now: Instant) -> bool {
        let (generation, outgoing) = (self.generation(), &self.connection.outgoing);
        if let Some(after) = outgoing.take_reconnect() {
            self.notices.reconnects_at = Some(now + after);
        }
        let mut is_told = false;
        let mut tell = |at: &mut Option<Instant>, frame| {
            // What is not told in this generation is done.
            let is_done = match frame {
                Some(frame) => outgoing.push_first(frame) == Push::Done,
                None => true,
            };
            if is_done {
                *at = None;
                is_told = true;
            }
        };
        let Notices { reconnects_at, expires_at } = &mut self.notices;
        if let Some(at) = *expires_at {
            // The nearest second.
            let left = at.saturating_duration_since(now) + Duration::from_millis(500);
            tell(expires_at, generation.token_expiring(left.as_secs()));
        }
        if let Some(at) = *reconnects_at {
            tell(reconnects_at, generation.reconnect(at.saturating_duration_since(now)));
        }
        is_told
    }
}
