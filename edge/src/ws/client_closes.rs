//! With which codes clients close their connections: what a client cannot take shows nowhere else.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::notice::Notice;

/// Different codes of a minute that are told apart: clients may make up what they like.
const MAX_CODES: usize = 32;
/// Nothing is wrong: 1000, 1001, and a close frame without a code (RFC 6455 section 7.4.1).
const ORDINARY: [u16; 3] = [1000, 1001, 1005];

/// Since the last look.
#[derive(Debug, Default)]
pub(crate) struct ClientCloses {
    counts: Mutex<CloseCounts>,
    too_large: Notice,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct CloseCounts {
    by_code: BTreeMap<u16, u64>,
    others: u64,
}

impl CloseCounts {
    fn note(&mut self, code: u16) {
        if self.by_code.len() < MAX_CODES || self.by_code.contains_key(&code) {
            *self.by_code.entry(code).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    fn is_ordinary(&self) -> bool {
        self.others == 0 && self.by_code.keys().all(|code| ORDINARY.contains(code))
    }
}

impl ClientCloses {
    /// A client closed its connection, without being told to. `largest_frame` is the largest of those that were written
    /// last, in bytes.
    pub(super) fn note(&self, code: CloseCode, largest_frame: usize) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).note(code.into());
        if code == CloseCode::Size
            && let Some(untold) = self.too_large.happened()
        {
            tracing::warn!(
                untold,
                largest_frame,
                "a client closed its WebSocket with 1009: it takes no message as large as one that it got, and misses what \
                 follows; the largest of those that were written last has {largest_frame} bytes; its limit has to be \
                 raised in the client"
            );
        }
    }

    /// Tells the operator of what was counted, and begins anew.
    pub(crate) fn tell(&self) {
        let counts =
            std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if counts == CloseCounts::default() {
            return;
        }
        if counts.is_ordinary() {
            tracing::debug!("WebSockets that clients closed in the last minute: {counts}");
        } else {
            tracing::info!("WebSockets that clients closed in the last minute: {counts}");
        }
    }
}

/// `3 with 1000, 1 with 1009`
impl fmt::Display for CloseCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (code, count)) in self.by_code.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            if *code == 1005 {
                write!(f, "{comma}{count} without a code")?;
            } else {
                write!(f, "{comma}{count} with {code}")?;
            }
        }
        if self.others > 0 {
            write!(f, ", {} with others", self.others)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Logs;

    #[tokio::test(start_paused = true)]
    async fn closes_are_counted_by_their_code() {
        let logs = Logs::capture();
        let closes = ClientCloses::default();
        closes.tell();
        assert_eq!(logs.take(), "");
        for code in [1000, 1001, 1000, 1005] {
            closes.note(code.into(), 0);
        }
        closes.tell();
        let lines = logs.take();
        assert!(lines.contains("DEBUG") && !lines.contains("INFO"), "{lines}");
        assert!(lines.contains("2 with 1000, 1 with 1001, 1 without a code"), "{lines}");
        closes.note(1011.into(), 0);
        closes.tell();
        let lines = logs.take();
        assert!(lines.contains("INFO") && lines.contains(": 1 with 1011"), "{lines}");
        closes.tell();
        assert_eq!(logs.take(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_too_little_is_told_once_a_minute() {
        let logs = Logs::capture();
        let closes = ClientCloses::default();
        for largest in [16_596, 70_000] {
            closes.note(CloseCode::Size, largest);
        }
        let lines = logs.take();
        assert_eq!(lines.matches("WARN").count(), 1, "{lines}");
        assert!(lines.contains("16596"), "{lines}");
    }

    #[test]
    fn codes_that_clients_make_up_take_no_memory() {
        let mut counts = CloseCounts::default();
        (3000..4000).for_each(|code| counts.note(code));
        assert_eq!(counts.by_code.len(), MAX_CODES);
        assert_eq!(counts.others, 1_000 - MAX_CODES as u64);
    }
}
