//! What is told in the end, in words or as JSON.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    compare::text,
    ledger::{Count, Shown, State, Totals},
};

const MAX_PLAIN_CHARACTERS: usize = 64;
const MAX_TEXT_CHARACTERS: usize = 2000;
/// Values that say nothing about anybody.
const PLAIN_KEYS: [&str; 8] = [
    "attached_file_size",
    "bytes",
    "content_type",
    "craeted",
    "created",
    "id",
    "status",
    "updated",
];

/// What is told in the end.
#[derive(Debug)]
pub(super) struct Report {
    state: State,
    /// How many users were to be compared.
    chosen: u64,
    /// Why it ended before its end.
    stopped: Option<String>,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Equal,
    Different,
    Unfinished,
}

impl Report {
    pub(super) fn new(state: State, chosen: u64, stopped: Option<String>) -> Self {
        Self { state, chosen, stopped }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let is_unfinished = self.stopped.is_some() || self.state.failed > 0 || self.has_no_file();
        match (is_unfinished, self.state.found) {
            (true, _) => Verdict::Unfinished,
            (false, 0) => Verdict::Equal,
            (false, _) => Verdict::Different,
        }
    }

    /// Messages have files, and neither of the two has given one.
    fn has_no_file(&self) -> bool {
        let Totals { files, missing_files, .. } = self.state.totals;
        files == 0 && missing_files > 0
    }

    pub(super) fn to_json(&self) -> Value {
        let State { totals, counts, found, allowed, shown, failed, failures } = &self.state;
        let by_path = counts.iter().map(|((path, kind), count)| {
            json!({
                "path": path,
                "kind": kind.name(),
                "differences": count.found,
                "allowed": count.allowed,
            })
        });
        let first = shown.iter().map(|shown| {
            let mut value = shown.at.to_json();
            value.insert("path".to_owned(), shown.path.as_str().into());
            value.insert("kind".to_owned(), shown.kind.name().into());
            value.insert("original".to_owned(), json!(shown.original));
            value.insert("candidate".to_owned(), json!(shown.candidate));
            Value::Object(value)
        });
        let first_failures = failures.iter().map(|(at, reason)| {
            let mut value = at.to_json();
            value.insert("reason".to_owned(), reason.as_str().into());
            Value::Object(value)
        });
        json!({
            "verdict": match self.verdict() {
                Verdict::Equal => "equal",
                Verdict::Different => "different",
                Verdict::Unfinished => "unfinished",
            },
            "stopped": self.stopped,
            "users_to_compare": self.chosen,
            "users": totals.users,
            "threads": totals.threads,
            "histories": totals.histories,
            "messages": totals.messages,
            "files": totals.files,
            "missing_files": totals.missing_files,
            "no_file_compared": self.has_no_file(),
            "bytes": totals.bytes,
            "differences": found,
            "allowed": allowed,
            "by_path": by_path.collect::<Vec<_>>(),
            "first": first.collect::<Vec<_>>(),
            "failures": failed,
            "first_failures": first_failures.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { totals, counts, found, allowed, shown, failed, failures } = &self.state;
        let Totals { users, threads, histories, messages, files, missing_files, bytes } = totals;
        writeln!(f, "compared: {users} of {} users, {threads} threads,", self.chosen)?;
        writeln!(
            f,
            "  {histories} histories, {messages} messages, {files} files; {bytes} bytes came"
        )?;
        if self.has_no_file() {
            writeln!(f, "no file was compared: neither server has any of the {missing_files}")?;
        } else if *missing_files > 0 {
            writeln!(f, "neither has {missing_files} of the files")?;
        }
        let of: [fn(&Count) -> u64; 2] = [|count| count.found, |count| count.allowed];
        for (name, total, of) in [("differences", found, of[0]), ("allowed", allowed, of[1])] {
            writeln!(f, "{name}: {total}")?;
            for ((path, kind), count) in counts.iter().filter(|(_, count)| of(count) > 0) {
                writeln!(f, "  {:>9}  {:<9}  {path}", of(count), kind.name())?;
            }
        }
        if !shown.is_empty() {
            writeln!(f, "the first {}:", shown.len())?;
        }
        for Shown { at, path, kind, original, candidate } in shown {
            writeln!(f, "  {path} ({}), {at}", kind.name())?;
            for (side, value) in [("original", original), ("candidate", candidate)] {
                if let Some(value) = value {
                    writeln!(f, "    {side:<9}  {value}")?;
                }
            }
        }
        if *failed > 0 {
            writeln!(f, "not compared, because it failed: {failed}")?;
        }
        for (at, reason) in failures {
            writeln!(f, "  {at}: {reason}")?;
        }
        if let Some(reason) = &self.stopped {
            writeln!(f, "stopped before the end: {reason}")?;
        }
        match self.verdict() {
            Verdict::Equal => writeln!(f, "equal"),
            Verdict::Different => writeln!(f, "different"),
            Verdict::Unfinished => writeln!(f, "not finished"),
        }
    }
}

/// A value as it may be told: what somebody wrote is told by its hash.
pub(super) fn shown(path: &str, json: &str, with_texts: bool) -> String {
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let key = path.rsplit('.').next().unwrap_or_default();
    let is_plain_key = PLAIN_KEYS.contains(&key) && !path.contains(".profile");
    let what = match json.bytes().next() {
        _ if with_texts => return cut(json, MAX_TEXT_CHARACTERS),
        Some(b'"') if is_plain_key => {
            let text = text(json).unwrap_or_default();
            let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            return text.take(MAX_PLAIN_CHARACTERS).collect();
        }
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        _ => return cut(json, MAX_PLAIN_CHARACTERS),
    };
    let hash: [u8; 32] = Sha256::digest(json).into();
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{what} of {} bytes as JSON, SHA-256 {hash}…", json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_not_told_unless_it_is_asked_for() {
        let body = r#""canary, \u00e9""#;
        for (path, json, told) in [
            ("history.entity.messages[].message", body, "a text of 16 bytes"),
            ("history.entity.messages[].sender.profile", r#"{"id":"canary"}"#, "an object of 15"),
            ("history.entity.messages[].sender.profile.id", r#""canary""#, "a text of 8"),
            ("history.entity.messages[].attached_file", r#""/canary""#, "a text of 9"),
            ("history.entity.messages[].created", r#""2024-06-17T1""#, "2024-06-17T1"),
            ("history.entity.messages[].seen", "true", "true"),
        ] {
            let shown = shown(path, json, false);
            assert!(shown.starts_with(told) && !shown.contains("canary"), "{path}: {shown}");
        }
        assert_eq!(shown("history.entity.messages[].message", body, true), body);
    }
}
