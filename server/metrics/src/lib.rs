//! What the metrics of netrox-chat are made of. Both halves count with it, and the program shows what they counted.
//!
//! What is counted for each message takes no lock and allocates nothing.
//!
//! * [`word`]: metrics by a label that has one of a few words.
//! * [`durations`]: histograms of times, with exemplars.
//! * [`looks`]: gauges and counters that are looked up when somebody asks for them.
//! * [`registry`]: all that is shown, and how.

mod durations;
mod looks;
mod registry;
mod word;

pub use self::{
    durations::Durations,
    looks::{Looks, Queues},
    registry::Registry,
    word::{By, Held, Word},
};
