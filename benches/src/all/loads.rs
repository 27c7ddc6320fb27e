//! The loads behind the figures, the same for the table and for a comparison of two builds.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    Result,
    client::User,
    load::{
        closed::{self, Closed, Outcome, used},
        open::Open,
        party::{Party, Reading},
    },
    rest::history::{self, History},
    server::{
        Target,
        deployment::{Arrangement, Launcher},
        postgres::PostgresProcesses,
        seed,
    },
};

pub(super) const IDLE_CONNECTIONS: usize = 10_000;
pub(super) const STORM_CLIENTS: usize = 5_000;
pub(super) const THREADS: usize = 10_000;
/// V2.
pub(super) const FEED_MESSAGES: u32 = 1_000_000;
pub(super) const UPLOAD_BYTES: usize = 25 * 1024 * 1024;
const BODY_BYTES: usize = 64;
const PIPELINED: usize = 256;
const PIPELINED_MESSAGES: u32 = 100_000;
const HISTORY_READS: u32 = 5;
const HOT_SENDERS: usize = 500;

/// S1, S2 and S3.
pub(super) fn pairs(duration: Duration) -> Closed {
    Closed {
        receivers: 50,
        senders_each: 1,
        in_flight: 8,
        body_bytes: BODY_BYTES,
        reading: Reading::Documented,
        duration,
    }
}

/// V1: the same, and each message is marked as seen when it arrives.
pub(super) fn marked(duration: Duration) -> Closed {
    Closed { reading: Reading::Marking, ..pairs(duration) }
}

/// S4.
pub(super) fn steady(duration: Duration) -> Open {
    Open { pairs: 50, rate: 1_000, body_bytes: BODY_BYTES, duration }
}

/// S10: many to one.
pub(super) fn hot(duration: Duration) -> Closed {
    Closed { receivers: 1, senders_each: HOT_SENDERS, ..pairs(duration) }
}

/// The same, one message in flight each.
pub(super) fn single(duration: Duration) -> Closed {
    Closed { in_flight: 1, ..hot(duration) }
}

/// What that is held against: as many senders, to one receiver each.
pub(super) fn spread(duration: Duration) -> Closed {
    Closed { receivers: HOT_SENDERS, senders_each: 1, ..single(duration) }
}

/// T10: as many as an edge may have under way, of which it is to refuse none.
pub(super) fn crowd(duration: Duration) -> Closed {
    Closed { receivers: 1_000, ..pairs(duration) }
}

/// What one pipelined sender left.
#[derive(Debug)]
pub(super) struct Conversation {
    reader: User,
    peer: Uuid,
}

/// S5.
pub(super) async fn pipeline(target: &Target) -> Result<(Outcome, Conversation)> {
    let party = Party::new(target, 1)?;
    let conversation = Conversation { reader: party.receiver.clone(), peer: party.senders[0].id };
    let outcome = closed::send(target, party, PIPELINED, PIPELINED_MESSAGES).await?;
    Ok((outcome, conversation))
}

/// S7.
pub(super) async fn history(target: &Target, written: &Conversation) -> Result<History> {
    let messages = PIPELINED_MESSAGES as usize;
    history::run(target, &written.reader, written.peer, messages, HISTORY_READS).await
}

/// S7, of the long conversation of a large database.
pub(super) async fn large_history(target: &Target) -> Result<History> {
    let reader = User::known_as(seed::ONE, &target.signer)?;
    let messages = seed::CONVERSATION as usize;
    history::run(target, &reader, seed::TWO, messages, HISTORY_READS).await
}

/// S3, in a fresh database, and the CPU of PostgreSQL in us per message where it runs on this machine.
pub(super) async fn postgres(
    launcher: &Launcher,
    url: &str,
    duration: Duration,
) -> Result<(Outcome, Option<f64>)> {
    let launcher = Launcher { database_url: Some(url.to_owned()), ..launcher.clone() };
    let deployment = launcher.start(Arrangement::Postgres).await?;
    let server = PostgresProcesses::find(url).await?;
    let before = server.as_ref().map(PostgresProcesses::cpu_seconds).transpose()?;
    let outcome = closed::run(&deployment.target, pairs(duration)).await?;
    let after = server.as_ref().map(PostgresProcesses::cpu_seconds).transpose()?;
    // Of all messages: it goes on writing when the measured ones are through.
    let each = used(before, after).map(|cpu| cpu * 1e6 / outcome.verdict.arrived as f64);
    Ok((outcome, each))
}
