//! What the micro-benchmarks reach besides the contract. Nothing here is part of the interface.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use netrox_proto::{ids::UserId, v1};
use uuid::Uuid;

use crate::{
    change::FeedScope,
    change::{Change, Subject},
    delivery::{Delivery, hub::Registration},
    store::history::{Position, Start},
};

/// A hub with so many subscriptions of one user.
#[derive(Debug)]
pub struct FanOut {
    delivery: Delivery,
    registrations: Vec<Registration>,
    change: Change,
}

impl FanOut {
    const USER: UserId = UserId(Uuid::from_u128(1));

    #[expect(clippy::expect_used, reason = "the hub was just made, and is open")]
    pub fn new(subscriptions: usize) -> Self {
        let delivery = Delivery::default();
        let register = |_| delivery.register(Self::USER, FeedScope::Received).expect("it is open");
        let registrations = (0..subscriptions).map(register).collect();
        let message = Arc::new(v1::Message { body: "x".repeat(64), ..Default::default() });
        let change = Change {
            to: Self::USER,
            place: Position::default(),
            prior: Start::default(),
            first_seq: 0,
            subject: Subject::Received(message),
            request: None,
        };
        Self { delivery, registrations, change }
    }

    /// Publishes one change, and takes it from each of the subscriptions; gives how many had it.
    pub fn publish(&mut self) -> usize {
        self.change.place.seq += 1;
        self.change.first_seq += 1;
        self.delivery.publish(std::slice::from_ref(&self.change));
        let mut context = Context::from_waker(Waker::noop());
        let taken = self.registrations.iter().map(|place| place.poll_next(&mut context));
        taken.filter(|taken| taken.is_ready()).count()
    }
}
