//! What keeps this edge from its cores: for the operator, who is told at once, then once a minute, and when it is over.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use http::StatusCode;
use tokio::time::Instant;

use crate::notice::Told;

/// Why a core cannot be used; the one that is the hardest to see elsewhere last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Trouble {
    /// No connection, or one that ends before the core has said how it is.
    Unreachable,
    /// TLS: one of the two does not believe who the other is.
    Untrusted,
    /// The core does not know this edge's service token.
    Unauthorized,
    /// The token may not do what an edge does.
    NotAllowed,
    /// What answers is no core.
    NotACore,
}

impl Trouble {
    /// For probes, which anybody may make: it names no address.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Unauthorized => "unauthorized",
            Self::NotAllowed => "not_allowed",
            Self::NotACore => "not_a_core",
        }
    }
}

/// Of one edge, by the place of a core: its address or its name.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    places: Mutex<HashMap<String, Place>>,
    /// When answers with a status were last told of.
    foreign: Mutex<HashMap<StatusCode, Told>>,
}

#[derive(Debug)]
struct Place {
    trouble: Trouble,
    cause: String,
    since: Instant,
    /// When each was last told of.
    told: HashMap<Trouble, Told>,
}

impl Reach {
    fn places(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A core could not be used.
    pub(super) fn fails(
        &self,
        place: impl fmt::Display,
        trouble: Trouble,
        cause: impl fmt::Display,
    ) {
        let (now, place, cause) = (Instant::now(), place.to_string(), cause.to_string());
        let untold = {
            let mut places = self.places();
            let known = places.entry(place.clone()).or_insert(Place {
                trouble,
                cause: String::new(),
                since: now,
                told: HashMap::new(),
            });
            known.trouble = trouble;
            known.cause.clone_from(&cause);
            known.told.entry(trouble).or_default().happened(now)
        };
        let Some(untold) = untold else { return };
        let (core, error) = (place.as_str(), cause.as_str());
        match trouble {
            Trouble::Unreachable => {
                tracing::warn!(untold, core, error, "the core at {place} cannot be reached")
            }
            Trouble::Untrusted => tracing::warn!(
                untold,
                core,
                error,
                "the core at {place} and this edge do not trust each other (TLS): --core-ca-file must have the \
                 authority of the core's certificate, which must be for the name in --core, and --core-client-cert-file one \
                 of the core's --grpc-tls-client-ca-file"
            ),
            Trouble::Unauthorized => tracing::warn!(
                untold,
                core,
                error,
                "the core at {place} does not know this edge's service token: --service-token must be one of the \
                 core's"
            ),
            Trouble::NotAllowed => tracing::warn!(
                untold,
                core,
                error,
                "the core at {place} does not let this edge do its work: its service token needs the scope edge"
            ),
            Trouble::NotACore => {
                tracing::warn!(untold, core, error, "what answers at {place} is no core")
            }
        }
    }

    /// A core says how it is.
    pub(super) fn works(&self, place: impl fmt::Display) {
        let place = place.to_string();
        let Some(past) = self.places().remove(&place) else { return };
        let duration_seconds = past.since.elapsed().as_secs();
        let core = place.as_str();
        tracing::info!(duration_seconds, core, "the core at {place} can be used again");
    }

    /// It is not asked any more.
    pub(super) fn forget(&self, place: impl fmt::Display) {
        self.places().remove(&place.to_string());
    }

    /// An answer that no core gives, in the midst of others.
    pub(super) fn foreign(&self, place: impl fmt::Display, status: StatusCode, kind: &str) {
        let untold = {
            let mut told = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            told.entry(status).or_default().happened(Instant::now())
        };
        if let Some(untold) = untold {
            let limit = if status == StatusCode::PAYLOAD_TOO_LARGE {
                "; what is between limits the size of a body below --max-attachment-bytes"
            } else {
                ""
            };
            tracing::warn!(
                untold,
                core = %place,
                "{kind} at {place} answered with HTTP {status}, as no core does: a proxy between edge and core{limit}"
            );
        }
    }

    /// What keeps this edge from each place that it cannot use, and why: for who looks.
    pub(super) fn troubles(&self) -> Vec<(String, Trouble, String)> {
        let places = self.places();
        let told =
            |(name, place): (&String, &Place)| (name.clone(), place.trouble, place.cause.clone());
        places.iter().map(told).collect()
    }

    /// What keeps this edge from cores, if anything does: not all of them need have it.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let places = self.places();
        places.values().map(|place| place.trouble).max()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::logs::Logs;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_told_at_once_then_each_minute_and_when_it_is_over() {
        let (logs, reach) = (Logs::capture(), Reach::default());
        reach.works("a core that was never away");
        assert_eq!((logs.take(), reach.trouble()), (String::new(), None));
        let fails = || reach.fails("10.0.0.5:1", Trouble::Unreachable, "connection refused");
        fails();
        let line = logs.take();
        assert!(line.contains("WARN") && line.contains("10.0.0.5:1"), "{line}");
        assert!(line.contains("connection refused"), "{line}");
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(1)).await;
            fails();
        }
        assert_eq!(logs.take(), "");
        // Another one is told at once.
        reach.fails("10.0.0.5:1", Trouble::Unauthorized, "why");
        assert!(logs.take().contains("service token"));
        assert_eq!(reach.trouble(), Some(Trouble::Unauthorized));
        tokio::time::advance(Duration::from_secs(1)).await;
        fails();
        assert!(logs.take().contains("WARN"));
        reach.works("10.0.0.5:1");
        let line = logs.take();
        assert!(line.contains("INFO") && line.contains("duration_seconds=60"), "{line}");
        assert_eq!(reach.trouble(), None);
        fails();
        assert!(logs.take().contains("WARN"));
    }

    #[test]
    fn each_trouble_is_told() {
        let (logs, reach) = (Logs::capture(), Reach::default());
        for trouble in [
            Trouble::Unreachable,
            Trouble::Untrusted,
            Trouble::Unauthorized,
            Trouble::NotAllowed,
            Trouble::NotACore,
        ] {
            reach.fails("10.0.0.5:1", trouble, "why");
            let line = logs.take();
            assert!(line.contains("WARN") && line.contains("10.0.0.5:1"), "{line}");
            assert_eq!(reach.trouble(), Some(trouble));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_of_others_are_told_once_a_minute_for_each_status() {
        let (logs, reach) = (Logs::capture(), Reach::default());
        for status in [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::BAD_GATEWAY] {
            reach.foreign("10.0.0.5:1", status, "an upload");
            let line = logs.take();
            assert!(line.contains("WARN") && line.contains(status.as_str()), "{line}");
            reach.foreign("10.0.0.5:1", status, "an upload");
            assert_eq!(logs.take(), "");
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        reach.foreign("10.0.0.5:1", StatusCode::BAD_GATEWAY, "an upload");
        assert!(logs.take().contains("502"));
    }
}
