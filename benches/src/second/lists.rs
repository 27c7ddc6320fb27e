//! The first page of the thread list of a user with many threads.

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::page;
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
/// Requests at a time.
const CONNECTIONS: usize = 32;
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
    page::cursor(target, &reader).await?;
    let path = format!("/v2/threads/{}/messages", reader.id);
    let parts = users.chunks(users.len().div_ceil(CONNECTIONS).max(1)).enumerate();
    let calls = parts.map(|(number, part)| {
        let path = &path;
        async move {
            let mut http = Http::connect(target.door(number)).await?;
            for user in part {
                let body = format!(
                    r#"{{"message_body":"hello","client_ref":"{}"}}"#,
                    uuid::Uuid::new_v4()
                );
                let call = http.post(path, user, "application/json", Bytes::from(body));
                call.await?.expect(StatusCode::CREATED)?;
            }
            Result::Ok(())
        }
    });
    try_join_all(calls).await?;
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
