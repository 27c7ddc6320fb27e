//! Which requests are traced.
//!
//! A service and an edge are trusted: what they trace is traced, and what they do not is not. A public client is not. Its
//! trace is gone on with, so that its own spans and ours are one; but that it wants to be traced counts for so many requests a
//! second, of all clients together, and beyond that is left to chance like any other; so is what it does not want to be
//! traced. Chance is drawn here and not taken from
//! the id of the trace, which a client can choose.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use netrox_proto::trace_context::TraceContext;

const SECOND: Duration = Duration::from_secs(1);

/// What of all requests is traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// From 0 to 1, of those about which no caller says anything.
    pub ratio: f64,
    /// Of public clients that ask for it, a second.
    pub asked_per_second: u32,
}

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Public,
    /// A holder of a service token.
    Trusted,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    NotTraced,
    /// In a trace that begins here.
    Root,
    /// In that of its caller.
    Follows(&'a TraceContext),
}

#[derive(Debug)]
pub(crate) struct Decisions {
    /// Below it a number of 32 bits that is drawn means yes.
    threshold: u64,
    asked_per_second: u32,
    /// When the current second began, and how many were granted in it.
    granted: Mutex<(Instant, u32)>,
}

impl Decisions {
    pub(crate) fn new(sampling: Sampling) -> Self {
        let Sampling { ratio, asked_per_second } = sampling;
        // A number of 33 bits at most, from one between 0 and 1.
        let threshold = (ratio.clamp(0.0, 1.0) * (1_u64 << 32) as f64).round() as u64;
        Self { threshold, asked_per_second, granted: Mutex::new((Instant::now(), 0)) }
    }

    pub(crate) fn decide<'a>(
        &self,
        caller: Caller,
        sent: Option<&'a TraceContext>,
    ) -> Decision<'a> {
        match (caller, sent) {
            (_, None) if self.draw() => Decision::Root,
            (_, None) => Decision::NotTraced,
            // Nobody whom we do not know keeps out of what is traced.
            (Caller::Public, Some(parent)) if !parent.is_sampled() => self.decide(caller, None),
            (Caller::Trusted, Some(parent)) if !parent.is_sampled() => Decision::NotTraced,
            (Caller::Trusted, Some(parent)) => Decision::Follows(parent),
            (Caller::Public, Some(parent)) if self.draw() || self.grant() => {
                Decision::Follows(parent)
            }
            (Caller::Public, Some(_)) => Decision::NotTraced,
        }
    }

    fn draw(&self) -> bool {
        self.threshold > 0 && u64::from(rand::random::<u32>()) < self.threshold
    }

    fn grant(&self) -> bool {
        if self.asked_per_second == 0 {
            return false;
        }
        let now = Instant::now();
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = &mut *granted;
        if now.saturating_duration_since(*since) >= SECOND {
            (*since, *count) = (now, 0);
        }
        let is_left = *count < self.asked_per_second;
        *count += u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(ratio: f64, asked_per_second: u32) -> Decisions {
        Decisions::new(Sampling { ratio, asked_per_second })
    }

    fn context(is_sampled: bool) -> TraceContext {
        TraceContext::new(7, 8, is_sampled, "").expect("a span")
    }

    fn traced(decisions: &Decisions, caller: Caller, sent: Option<&TraceContext>) -> usize {
        let decide = |_: &usize| decisions.decide(caller, sent) != Decision::NotTraced;
        (0..10_000).filter(decide).count()
    }

    #[test]
    fn what_nobody_speaks_of_is_left_to_chance() {
        for caller in [Caller::Public, Caller::Trusted] {
            assert_eq!(traced(&decisions(0.0, 9), caller, None), 0);
            assert_eq!(traced(&decisions(1.0, 0), caller, None), 10_000);
            let some = traced(&decisions(0.1, 0), caller, None);
            assert!((700..1_300).contains(&some), "{some}");
        }
    }

    #[test]
    fn who_is_trusted_decides() {
        let (sampled, unsampled) = (context(true), context(false));
        let none = decisions(0.0, 0);
        assert_eq!(none.decide(Caller::Trusted, Some(&sampled)), Decision::Follows(&sampled));
        assert_eq!(traced(&decisions(1.0, 9), Caller::Trusted, Some(&unsampled)), 0);
    }

    #[test]
    fn public_clients_are_granted_so_many_a_second() {
        let (sampled, unsampled) = (context(true), context(false));
        assert_eq!(traced(&decisions(0.0, 0), Caller::Public, Some(&sampled)), 0);
        // More than a second may pass.
        let granted = traced(&decisions(0.0, 5), Caller::Public, Some(&sampled));
        assert!((5..100).contains(&granted), "{granted}");
        assert_eq!(traced(&decisions(0.0, 5), Caller::Public, Some(&unsampled)), 0);
        assert_eq!(traced(&decisions(1.0, 0), Caller::Public, Some(&unsampled)), 10_000);
        let all = decisions(1.0, 0);
        assert_eq!(all.decide(Caller::Public, Some(&sampled)), Decision::Follows(&sampled));
    }
}
