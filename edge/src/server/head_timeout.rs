//! How long a connection may be without a request, and how long the head of one may take.
//!
//! hyper has one timer for both, which runs from when it waits for a head. Here it is cut short as soon as a head has
//! begun: who keeps connections for reuse may let them rest for long, and nobody may send a head for as long.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::time::{Instant as TokioInstant, Sleep as TokioSleep, sleep_until};

use crate::strangers::Stranger;

/// What is known of the next head of a connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The head of a request is waited for.
    is_awaited: AtomicBool,
    /// Bytes have come since.
    has_begun: AtomicBool,
    /// It is not the first.
    is_later: AtomicBool,
}

impl Heads {
    /// Bytes were read from the connection.
    pub(super) fn read(&self) {
        if self.is_awaited.load(Ordering::Relaxed) {
            self.has_begun.store(true, Ordering::Relaxed);
        }
    }
}

/// The timer of one connection, which hyper asks for nothing but the wait for a head.
pub(super) struct HeadTimer {
    heads: Arc<Heads>,
    /// For the first head. What came before it on the connection has its time from the same.
    first_until: TokioInstant,
    /// For a later one, from its first byte on.
    head: Duration,
    /// Who has shown no token rests for no longer than that, either: there is room for few of them.
    stranger: Arc<Stranger>,
}

impl HeadTimer {
    pub(super) fn new(
        heads: Arc<Heads>,
        first_until: TokioInstant,
        head: Duration,
        stranger: Arc<Stranger>,
    ) -> Self {
        Self { heads, first_until, head, stranger }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, idle_until: Instant) -> Pin<Box<dyn Sleep>> {
        let heads = Arc::clone(&self.heads);
        let is_first = !heads.is_later.swap(true, Ordering::Relaxed);
        heads.has_begun.store(false, Ordering::Relaxed);
        heads.is_awaited.store(true, Ordering::Relaxed);
        let until = if is_first {
            self.first_until
        } else if self.stranger.is_known() {
            idle_until.into()
        } else {
            idle_until.min(self.now() + self.head).into()
        };
        let sleep = Box::pin(sleep_until(until));
        Box::pin(HeadSleep { heads, head: self.head, has_begun: is_first, sleep })
    }

    fn now(&self) -> Instant {
        // That of tokio, which tests can change.
        TokioInstant::now().into_std()
    }
}

struct HeadSleep {
    heads: Arc<Heads>,
    head: Duration,
    /// It was cut short, or need not be.
    has_begun: bool,
    sleep: Pin<Box<TokioSleep>>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun && self.heads.has_begun.load(Ordering::Relaxed) {
            self.has_begun = true;
            let until = TokioInstant::now() + self.head;
            self.sleep.as_mut().reset(until);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl Sleep for HeadSleep {}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        self.heads.is_awaited.store(false, Ordering::Relaxed);
    }
}
