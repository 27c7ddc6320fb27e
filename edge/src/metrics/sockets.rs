//! WebSockets: those that are open, and how they end.

use std::fmt::{self, Write as _};

use netrox_metrics::{By, Held, Registry};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::wire::Generation;

#[derive(Debug, Clone)]
pub(crate) struct SocketMetrics {
    open: By<Generation, Gauge>,
    limit: Gauge,
    closes: Family<Close, Counter>,
    stalls: Counter,
}

impl Default for SocketMetrics {
    fn default() -> Self {
        let (limit, closes, stalls) = (Gauge::default(), Family::default(), Counter::default());
        for close in Close::WATCHED {
            drop(closes.get_or_create(&close));
        }
        Self { open: By::gauges("generation"), limit, closes, stalls }
    }
}

impl SocketMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "sockets_open",
            "WebSockets that are open, or whose handshake waits for the core",
            self.open.clone(),
        );
        registry.register(
            "sockets_limit",
            "How many WebSockets there may be (--max-connections)",
            self.limit.clone(),
        );
        registry.register(
            "socket_closes",
            "WebSockets that were closed, by whom and why",
            self.closes.clone(),
        );
        registry.register(
            "socket_stalls",
            "Frames that had to wait since the queue of their WebSocket was full",
            self.stalls.clone(),
        );
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// Counts a WebSocket as open until what is given is dropped.
    pub(crate) fn open(&self, generation: Generation) -> Held {
        self.open.hold(generation)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> i64 {
        use netrox_metrics::Word as _;
        let each = Generation::ALL.iter().filter_map(|generation| self.open.of(*generation));
        each.map(Gauge::get).sum()
    }

    pub(crate) fn closed(&self, close: Close) {
        self.closes.get_or_create(&close).inc();
    }

    /// A frame has to wait for room in the queue of a socket.
    pub(crate) fn stalled(&self) {
        self.stalls.inc();
    }
}

/// How a WebSocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Close {
    by: Closer,
    code: Code,
    reason: &'static str,
}

impl Close {
    /// Those that somebody is woken for: their first one is seen only if there was a zero before.
    pub(crate) const WATCHED: [Self; 2] =
        [Self::watched(1001, "position_lost"), Self::watched(1013, "too_slow")];

    const fn watched(code: u16, reason: &'static str) -> Self {
        Self { by: Closer::Server, code: Code(Some(code)), reason }
    }

    pub(crate) fn by_server(code: u16, reason: &'static str) -> Self {
        Self { by: Closer::Server, code: code.into(), reason }
    }

    pub(crate) fn by_client(code: u16) -> Self {
        Self { by: Closer::Client, code: code.into(), reason: "" }
    }

    /// Without a close frame of either side.
    pub(crate) fn of_connection() -> Self {
        Self { by: Closer::Nobody, code: 1006.into(), reason: "" }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Closer {
    Server,
    Client,
    /// The connection broke, or its client fell silent.
    Nobody,
}

impl EncodeLabelValue for Closer {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Nobody => "nobody",
        })
    }
}

/// A code of RFC 6455 section 7.4.1, or of the second generation; nothing for all others, which clients may make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Code(Option<u16>);

impl From<u16> for Code {
    fn from(code: u16) -> Self {
        let is_known = matches!(code, 1000..=1015 | 4401 | 4403 | 4409);
        Self(is_known.then_some(code))
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(encoder, "{code}"),
            None => encoder.write_str("other"),
        }
    }
}
