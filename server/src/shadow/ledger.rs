//! What was compared, and what was found. However much differs, it stays small: differences are counted by their path, and the
//! first ones are kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};

use super::{
    compare::{Difference, Kind},
    report::{Report, shown},
    rule::Known,
};

/// Keys of profiles are whatever users have.
const MAX_PATHS: usize = 1000;
const OTHER_PATHS: &str = "(other paths)";

/// What a difference is in.
#[derive(Debug, Clone, Default)]
pub(super) struct Where {
    pub(super) user: String,
    pub(super) peer: Option<String>,
    pub(super) thread: Option<String>,
    pub(super) message: Option<String>,
}

impl Where {
    pub(super) fn user(id: &str) -> Self {
        Self { user: id.to_owned(), ..Self::default() }
    }

    pub(super) fn with_peer(&self, id: &str) -> Self {
        Self { peer: Some(id.to_owned()), ..self.clone() }
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let user = Some(("user", self.user.as_str()));
        let others = [("peer", &self.peer), ("thread", &self.thread), ("message", &self.message)];
        let others = others.into_iter().filter_map(|(name, id)| Some((name, id.as_deref()?)));
        user.into_iter().chain(others)
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        self.named().map(|(name, id)| (name.to_owned(), id.into())).collect()
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, id)) in self.named().enumerate() {
            write!(f, "{}{name} {id}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) users: u64,
    pub(super) threads: u64,
    pub(super) histories: u64,
    pub(super) messages: u64,
    pub(super) files: u64,
    /// Files that neither of the two has.
    pub(super) missing_files: u64,
    /// What both have sent.
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) found: u64,
    pub(super) allowed: u64,
}

#[derive(Debug)]
pub(super) struct Shown {
    pub(super) at: Where,
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) original: Option<String>,
    pub(super) candidate: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) totals: Totals,
    pub(super) counts: BTreeMap<(String, Kind), Count>,
    pub(super) found: u64,
    pub(super) allowed: u64,
    pub(super) shown: Vec<Shown>,
    pub(super) failed: u64,
    pub(super) failures: Vec<(Where, String)>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    known: Known,
    shows: usize,
    with_texts: bool,
    state: Mutex<State>,
}

impl Ledger {
    pub(super) fn new(known: Known, shows: usize, with_texts: bool) -> Self {
        Self { known, shows, with_texts, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `is_deleted`: both sides say so of the message.
    pub(super) fn tell(&self, at: &Where, difference: Difference<'_>, is_deleted: bool) {
        let Difference { path, kind, original, candidate } = difference;
        let is_allowed = self.known.allows(&difference, is_deleted);
        let mut state = self.state();
        let mut key = (path.to_owned(), kind);
        if state.counts.len() >= MAX_PATHS && !state.counts.contains_key(&key) {
            key.0 = OTHER_PATHS.to_owned();
        }
        let count = state.counts.entry(key).or_default();
        if is_allowed {
            count.allowed += 1;
            state.allowed += 1;
            return;
        }
        count.found += 1;
        state.found += 1;
        if state.shown.len() < self.shows {
            let shown = |side: Option<&str>| side.map(|json| shown(path, json, self.with_texts));
            let (original, candidate) = (shown(original), shown(candidate));
            let (at, path) = (at.clone(), path.to_owned());
            state.shown.push(Shown { at, path, kind, original, candidate });
        }
    }

    /// What could not be compared.
    pub(super) fn fail(&self, at: &Where, reason: String) {
        let mut state = self.state();
        state.failed += 1;
        if state.failures.len() < self.shows.max(1) {
            state.failures.push((at.clone(), reason));
        }
    }

    pub(super) fn add(&self, count: impl FnOnce(&mut Totals)) {
        count(&mut self.state().totals);
    }

    /// How far it has come, in a line.
    pub(super) fn progress(&self) -> String {
        let state = self.state();
        let Totals { users, histories, messages, files, .. } = state.totals;
        let (found, failed) = (state.found, state.failed);
        let mut line = format!(
            "{users} users, {histories} histories, {messages} messages, {files} files; \
             {found} differences"
        );
        if failed > 0 {
            line += &format!(", {failed} failures");
        }
        line
    }

    pub(super) fn end(self, chosen: u64, stopped: Option<String>) -> Report {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Report::new(state, chosen, stopped)
    }
}

#[cfg(test)]
mod tests {
    use netrox_edge::config::UserIds;
    use serde_json::json;

    use super::{super::report::Verdict, *};

    fn ledger(rule: &str, shows: usize) -> Ledger {
        let user_ids = UserIds::Uuids { beside_mapped: false };
        let known = Known { rules: vec![rule.parse().unwrap()], user_ids };
        Ledger::new(known, shows, false)
    }

    fn differ(ledger: &Ledger, path: &str, original: &str) {
        let (original, candidate) = (Some(original), Some("null"));
        let difference = Difference { path, kind: Kind::Value, original, candidate };
        ledger.tell(&Where::user("ada").with_peer("bob"), difference, false);
    }

    #[test]
    fn all_are_counted_and_the_first_are_shown() {
        let ledger = ledger("history.entity.messages[].seen", 2);
        for number in 0..2000 {
            differ(&ledger, &format!("history.entity.messages[].sender.profile.{number}"), "1");
            differ(&ledger, "history.entity.messages[].seen", "true");
        }
        let report = ledger.end(1, None);
        assert_eq!(report.verdict(), Verdict::Different);
        let told = report.to_json();
        assert_eq!((&told["differences"], &told["allowed"]), (&json!(2000), &json!(2000)));
        assert_eq!(told["first"].as_array().unwrap().len(), 2);
        assert_eq!(told["first"][0]["peer"], "bob");
        let by_path = told["by_path"].as_array().unwrap();
        assert!(by_path.len() <= MAX_PATHS + 1);
        let sum: u64 = by_path.iter().map(|path| path["differences"].as_u64().unwrap()).sum();
        assert_eq!(sum, 2000);
        let words = report.to_string();
        assert!(words.contains("differences: 2000") && words.ends_with("different\n"), "{words}");
    }

    #[test]
    fn what_was_not_compared_is_not_equal() {
        let rule = "history.**";
        let allowed = ledger(rule, 0);
        differ(&allowed, "history.entity.messages[].seen", "true");
        assert_eq!(allowed.end(1, None).verdict(), Verdict::Equal);
        let failed = ledger(rule, 0);
        failed.fail(&Where::user("ada"), "it took too long".to_owned());
        let report = failed.end(1, None);
        assert_eq!(report.verdict(), Verdict::Unfinished);
        assert!(report.to_string().contains("user ada: it took too long"), "{report}");
        let report = ledger(rule, 0).end(1, Some("interrupted".to_owned()));
        assert_eq!(report.verdict(), Verdict::Unfinished);
    }
}
