//! The first page of the thread list of a user with many threads.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::written;
use crate::{
    Result,
    client::{Http, User},
    latency::{Latencies, Summary},
    ledger::Checked,
    progress::note,
    rest::threads,
    server::Target,
};

const PATH: &str = "/v2/threads";
const TIMES: usize = 20;
/// The total counts to here.
const MOST_UNREAD: u64 = 1_000;

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Lists {
    pub(crate) threads: usize,
    /// All unread.
    pub(crate) unread_first_byte_ms: Summary,
    /// None unread.
    pub(crate) read_first_byte_ms: Summary,
}

impl Checked for Lists {}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    threads: Vec<&'a RawValue>,
    unread_total: u64,
}

/// Gives two users `threads` threads each, and lists them.
pub(crate) async fn run(target: &Target, threads: usize) -> Result<Lists> {
    let writer = threads::made(target, threads).await?;
    let read = list(target, &writer, 0).await?;
    let reader = written_to(target, threads).await?;
    let unread = list(target, &reader, MOST_UNREAD.min(threads as u64)).await?;
    Ok(Lists { threads, unread_first_byte_ms: unread, read_first_byte_ms: read })
}

/// Somebody to whom so many have written.
async fn written_to(target: &Target, threads: usize) -> Result<User> {
    note(format_args!("  {threads} users write to one"));
    let (reader, users) = (target.user()?, target.users(threads)?);
    let pairs: Vec<_> = users.iter().map(|user| (user, &reader)).collect();
    written::first_messages(target, &pairs).await?;
    Ok(reader)
}

async fn list(target: &Target, user: &User, unread: u64) -> Result<Summary> {
    let mut http = Http::connect(target.door(0)).await?;
    let mut first_bytes = Latencies::new();
    for _ in 0..TIMES {
        let answer = http.get(PATH, user, true).await?.expect(StatusCode::OK)?;
        first_bytes.record_duration(answer.first_byte);
        let page: Page<'_> = serde_json::from_slice(&answer.content)?;
        if page.unread_total != unread || page.threads.is_empty() {
            return Err(format!("{} unread in place of {unread}", page.unread_total).into());
        }
    }
    Ok(first_bytes.summary())
}
