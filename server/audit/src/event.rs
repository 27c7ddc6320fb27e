//! What there is to tell, and the line that tells it.

use std::{net::IpAddr, time::SystemTime};

use serde::Serialize;

/// Of targets in a line, and of their bytes, so that it stays below what a pipe takes whole (4 KiB).
const MAX_TARGETS: usize = 50;
const MAX_TARGET_BYTES: usize = 3_000;

/// What happened. docs/AUDIT-LOG.md has a table of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    Started,
    StartFailed,
    Stopped,
    /// A caller showed no credential, or none that counts.
    AuthenticationRefused,
    /// A service called what it may not.
    ScopeRefused,
    /// The credential of a stream counts no more, or for less.
    StreamEnded,
    /// A user asked for more than their quota.
    QuotaExceeded,
    UsersUpserted,
    /// A user's token made or changed an entry of the directory.
    UserProvisioned,
    UserDeleted,
    /// Access tokens count no more.
    TokensRevoked,
    /// WebSockets are closed.
    SessionsEnded,
    /// A service looked at who is connected from where.
    SessionsListed,
    /// A service looked at what is kept of a user.
    UserShown,
    /// A service took all data of a user.
    UserExported,
    /// A service listens to what a user's devices learn.
    UserTapped,
    /// A whole chat was written to files.
    ChatExported,
    /// Lines were written into a database.
    ChatImported,
    ServiceTokensReloaded,
    KeysReloaded,
    CertificatesReloaded,
    AuditLogReopened,
    /// What is logged was changed while the program runs.
    LogFilterChanged,
    /// Lines that are missing.
    EventsDropped,
}

impl Name {
    pub const ALL: [Self; 24] = [
        Self::Started,
        Self::StartFailed,
        Self::Stopped,
        Self::AuthenticationRefused,
        Self::ScopeRefused,
        Self::StreamEnded,
        Self::QuotaExceeded,
        Self::UsersUpserted,
        Self::UserProvisioned,
        Self::UserDeleted,
        Self::TokensRevoked,
        Self::SessionsEnded,
        Self::SessionsListed,
        Self::UserShown,
        Self::UserExported,
        Self::UserTapped,
        Self::ChatExported,
        Self::ChatImported,
        Self::ServiceTokensReloaded,
        Self::KeysReloaded,
        Self::CertificatesReloaded,
        Self::AuditLogReopened,
        Self::LogFilterChanged,
        Self::EventsDropped,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    /// Nothing was changed.
    Refused,
    Failed,
    /// Whether it was changed could not be found out.
    Unknown,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    event: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip)]
    targets: Vec<String>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Event {
    /// Something that went well, now.
    #[expect(clippy::disallowed_methods, reason = "an audit trail is read by the wall clock")]
    pub fn new(event: Name) -> Self {
        Self {
            time: SystemTime::now(),
            event,
            request_id: None,
            actor: None,
            method: None,
            target: None,
            targets: Vec::new(),
            outcome: Outcome::Ok,
            reason: None,
            peer: None,
            count: None,
        }
    }

    pub fn request_id(self, id: Option<impl ToString>) -> Self {
        Self { request_id: id.map(|id| id.to_string()), ..self }
    }

    /// Who did it: the name of a service, or the id of a user.
    pub fn actor(self, actor: impl Into<String>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// What was called.
    pub fn method(self, method: Option<&'static str>) -> Self {
        Self { method, ..self }
    }

    /// To whom or what it was done.
    pub fn target(self, target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..self }
    }

    /// The same of several: as many lines as they need.
    pub fn targets(self, targets: Vec<String>) -> Self {
        Self { targets, ..self }
    }

    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// In words of ours.
    pub fn reason(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    pub fn peer(self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }

    /// How often it happened.
    pub(crate) fn count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// How many of its targets go into the first line.
    fn first_targets(targets: &[String]) -> usize {
        let mut bytes = 0;
        let fitting = targets.iter().take(MAX_TARGETS).take_while(|target| {
            bytes += target.len();
            bytes <= MAX_TARGET_BYTES
        });
        fitting.count().max(1).min(targets.len())
    }

    /// Its targets, by line.
    fn parts(&self) -> impl Iterator<Item = &[String]> {
        let mut rest = Some(self.targets.as_slice());
        std::iter::from_fn(move || {
            let targets = rest.take()?;
            let (part, others) = targets.split_at(Self::first_targets(targets));
            rest = Some(others).filter(|others| !others.is_empty());
            Some(part)
        })
    }

    pub(crate) fn line_count(&self) -> u64 {
        self.parts().count() as u64
    }

    /// What it takes of memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.request_id, &self.actor, &self.target, &self.reason];
        let texts = texts.into_iter().flatten().chain(&self.targets);
        size_of::<Self>() + texts.map(|text| size_of::<String>() + text.len()).sum::<usize>()
    }

    /// Each with its end: one that has many targets is several.
    pub(crate) fn lines(&self, role: &'static str) -> serde_json::Result<Vec<Vec<u8>>> {
        let line = |targets: &[String]| -> serde_json::Result<Vec<u8>> {
            let mut line = serde_json::to_vec(&Line { event: self, targets, role })?;
            line.push(b'\n');
            Ok(line)
        };
        self.parts().map(line).collect()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "is_none")]
    targets: &'a [String],
    role: &'static str,
}

fn is_none(targets: &&[String]) -> bool {
    targets.is_empty()
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_line_is_one_object_with_what_is_known() {
        let event = Event {
            time: UNIX_EPOCH + Duration::from_millis(1_700_000_000_007),
            ..Event::new(Name::UserDeleted)
        };
        let event = event
            .request_id(Some("a-1"))
            .actor("billing")
            .target("a\nb")
            .peer(Some([192, 0, 2, 1].into()));
        let [line] = &event.lines("core").expect("JSON")[..] else { panic!("one line") };
        let line = str::from_utf8(line).expect("UTF-8");
        assert_eq!(
            line,
            "{\"time\":\"2023-11-14T22:13:20.007Z\",\"event\":\"user_deleted\",\"request_id\":\"a-1\",\
             \"actor\":\"billing\",\"target\":\"a\\nb\",\"outcome\":\"ok\",\"peer\":\"192.0.2.1\",\
             \"role\":\"core\"}\n"
        );
    }

    #[test]
    fn many_targets_are_several_lines_that_a_pipe_takes_whole() {
        let short: Vec<_> = (0..120).map(|number| number.to_string()).collect();
        let long: Vec<_> = (0..5).map(|number| format!("{number}{}", "x".repeat(1_400))).collect();
        for (targets, count) in [(short, 3), (long, 3), (vec![], 1)] {
            let event = Event::new(Name::UsersUpserted).targets(targets.clone());
            let lines = event.lines("core").expect("JSON");
            assert_eq!((lines.len(), event.line_count()), (count, count as u64));
            assert!(lines.iter().all(|line| line.len() < 4_096));
            let told = lines.iter().flat_map(|line| {
                let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
                line["targets"].as_array().cloned().unwrap_or_default()
            });
            assert_eq!(told.collect::<Vec<_>>(), targets);
        }
    }
}
