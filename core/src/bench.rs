//! What the micro-benchmarks reach besides the contract. Nothing here is part of the interface.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use netrox_proto::{ids::UserId, v1};
use uuid::Uuid;

use crate::hub::{Hub, LiveEvent, Registration};

/// A hub with so many subscriptions of one user.
#[derive(Debug)]
pub struct FanOut {
    hub: Hub,
    registrations: Vec<Registration>,
    event: LiveEvent,
}

impl FanOut {
    const USER: UserId = UserId(Uuid::from_u128(1));

    #[expect(clippy::expect_used, reason = "the hub was just made, and is open")]
    pub fn new(subscriptions: usize) -> Self {
        let hub = Hub::default();
        let register = |_| hub.register(Self::USER, true).expect("an open hub");
        let registrations = (0..subscriptions).map(register).collect();
        let message = Arc::new(v1::Message { body: "x".repeat(64), ..Default::default() });
        Self { hub, registrations, event: LiveEvent { message, ..LiveEvent::default() } }
    }

    /// Publishes one event, and takes it from each of the subscriptions; gives how many had it.
    pub fn publish(&mut self) -> usize {
        self.event.place.seq += 1;
        self.event.first_seq += 1;
        self.hub.publish(Self::USER, &self.event);
        let mut context = Context::from_waker(Waker::noop());
        let taken = self.registrations.iter().map(|place| place.poll_take(&mut context));
        taken.filter(|taken| taken.is_ready()).count()
    }
}
