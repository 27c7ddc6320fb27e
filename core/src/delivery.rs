//! Who tells the world what was committed: this core's subscriptions, and the other cores.
//!
//! * [`hub`]: the subscriptions of this core. * [`bus`]: the other cores. * [`check`]: finds what got lost between them.

pub(crate) mod bus;
pub(crate) mod check;
pub(crate) mod hub;
mod tally;
