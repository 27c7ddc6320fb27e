//! A long conversation, read in one request.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Result,
    client::{Http, User},
    latency::{Latencies, Summary},
    ledger::Checked,
    load::closed::{Outcome, used},
    progress::note,
    server::Target,
};

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct History {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
    pub(crate) messages_per_second: f64,
    /// Of the server alone.
    pub(crate) messages_per_cpu_second: Option<f64>,
    /// The first read included, which finds nothing in the caches of its connections.
    pub(crate) first_byte_ms: Summary,
    /// The peak over what was resident before the first request.
    pub(crate) growth_bytes: Option<u64>,
    /// Ids that do not grow, and messages that are not there.
    pub(crate) wrong: u64,
}

/// A history, and how it came to be.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    pub(crate) sent: Outcome,
    pub(crate) history: History,
}

impl Checked for History {
    fn wrong(&self) -> u64 {
        self.wrong
    }
}

impl Checked for Written {
    fn wrong(&self) -> u64 {
        self.sent.wrong() + self.history.wrong
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    entity: Entity<'a>,
}

#[derive(Deserialize)]
struct Entity<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message {
    id: u64,
}

/// Reads a conversation of `messages` messages: once to check it, and then `times` times.
pub(crate) async fn run(
    target: &Target,
    reader: &User,
    peer: Uuid,
    messages: usize,
    times: u32,
) -> Result<History> {
    let path = format!("/chat/messages/{peer}/");
    let mut http = Http::connect(target.door(0)).await?;
    let before = target.resident_bytes()?;
    if let Some(processes) = &target.processes {
        processes.forget_peak()?;
    }
    note(format_args!("  reading {messages} messages, {times} times"));
    let checked = http.get(&path, reader, true).await?.expect(StatusCode::OK)?;
    let wrong = wrong(&checked.content, messages)?;
    let bytes = checked.bytes;
    let (mut first_bytes, mut took) = (Latencies::new(), Duration::ZERO);
    first_bytes.record_duration(checked.first_byte);
    drop(checked);

    let cpu = target.cpu_seconds()?;
    for _ in 0..times {
        let answer = http.get(&path, reader, false).await?.expect(StatusCode::OK)?;
        if answer.bytes != bytes {
            return Err("the same history has another length".into());
        }
        first_bytes.record_duration(answer.first_byte);
        took += answer.whole;
    }
    let read = f64::from(times) * messages as f64;
    let cpu = used(cpu, target.cpu_seconds()?);
    let peak = target.processes.as_ref().map(|processes| processes.peak_bytes()).transpose()?;
    Ok(History {
        messages,
        bytes,
        messages_per_second: read / took.as_secs_f64(),
        messages_per_cpu_second: cpu.map(|cpu| read / cpu),
        first_byte_ms: first_bytes.summary(),
        growth_bytes: peak.zip(before).map(|(peak, before)| peak.saturating_sub(before)),
        wrong,
    })
}

fn wrong(content: &[u8], messages: usize) -> Result<u64> {
    let envelope: Envelope<'_> = serde_json::from_slice(content)?;
    let found = envelope.entity.messages;
    let mut wrong = found.len().abs_diff(messages) as u64;
    let mut last = 0;
    for message in found {
        let Message { id } = serde_json::from_str(message.get())?;
        wrong += u64::from(id <= last);
        last = id;
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::wrong;

    fn history(ids: &[u64]) -> Vec<u8> {
        let messages: Vec<_> =
            ids.iter().map(|id| format!(r#"{{"id":{id},"seen":false}}"#)).collect();
        format!(r#"{{"entity":{{"messages":[{}]}},"success":true}}"#, messages.join(",")).into()
    }

    #[test]
    fn a_history_is_whole_and_in_order_or_wrong() {
        assert_eq!(wrong(&history(&[1, 5, 6]), 3).unwrap(), 0);
        assert_eq!(wrong(&history(&[1, 6, 5]), 3).unwrap(), 1);
        assert_eq!(wrong(&history(&[1, 1, 5]), 3).unwrap(), 1);
        assert_eq!(wrong(&history(&[1, 5]), 3).unwrap(), 1);
        assert!(wrong(b"{}", 0).is_err());
    }
}
