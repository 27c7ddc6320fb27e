//! What a look at the parts of a deployment finds: for the operator, who is told what is wrong and what to do. Core, edge and
//! program each look at what is theirs; none of them prints.

use std::{error::Error, fmt::Display, iter, time::Duration};

use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// A look that waits for nothing but answers ends by itself in this time after its limit.
const GRACE: Duration = Duration::from_millis(500);

/// A server that was asked may have a say in the text of an error.
const MAX_CAUSES_CHARACTERS: usize = 300;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Settings,
    Database,
    Bus,
    Media,
    Disk,
    Keys,
    Certificates,
    Cores,
    Ports,
    Descriptors,
    Clock,
    Traces,
}

impl Subject {
    pub fn word(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Database => "database",
            Self::Bus => "bus",
            Self::Media => "media",
            Self::Disk => "disk",
            Self::Keys => "keys",
            Self::Certificates => "certificates",
            Self::Cores => "cores",
            Self::Ports => "ports",
            Self::Descriptors => "descriptors",
            Self::Clock => "clock",
            Self::Traces => "traces",
        }
    }
}

/// Something that is wrong. Each of its texts is one line, and holds no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub subject: Subject,
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

/// What is as it should be, or was not looked at: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub subject: Subject,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// What was measured, and is well.
    pub facts: Vec<Remark>,
    /// What could not be looked at, for want of a right for example. Nothing says that it is wrong.
    pub unchecked: Vec<Remark>,
}

impl Report {
    /// Something is wrong.
    pub fn find(&mut self, subject: Subject, cause: impl Display, remedy: impl Display) {
        let (cause, remedy) = (one_line(&cause.to_string()), one_line(&remedy.to_string()));
        self.findings.push(Finding { subject, cause, remedy });
    }

    /// Something is as it should be.
    pub fn note(&mut self, subject: Subject, text: impl Display) {
        self.facts.push(Remark { subject, text: one_line(&text.to_string()) });
    }

    /// Something was not looked at.
    pub fn skip(&mut self, subject: Subject, text: impl Display) {
        self.unchecked.push(Remark { subject, text: one_line(&text.to_string()) });
    }

    pub fn add(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
        self.facts.append(&mut other.facts);
        self.unchecked.append(&mut other.unchecked);
    }

    /// Looks for so long. What is found by then counts; that there is more is a finding of its own. `what` begins its
    /// sentence.
    pub async fn within(
        &mut self,
        subject: Subject,
        limit: Duration,
        what: &str,
        look: impl AsyncFnOnce(&mut Self),
    ) {
        if timeout(limit, look(self)).await.is_err() {
            self.find_silent(subject, limit, what);
        }
    }

    /// The same on a thread of its own: a call that hangs, as one of a network file system may, holds up nothing else. That
    /// thread is left behind then, with what was found on it.
    pub async fn aside(
        subject: Subject,
        limit: Duration,
        what: String,
        look: impl AsyncFnOnce(&mut Self) + Send + 'static,
    ) -> Self {
        let (runtime, of_thread) = (Handle::current(), what.clone());
        let mut looking = spawn_blocking(move || {
            runtime.block_on(async {
                let mut report = Self::default();
                report.within(subject, limit, &of_thread, look).await;
                report
            })
        });
        tokio::select! {
            looked = &mut looking => looked.unwrap_or_else(|error| {
                let mut report = Self::default();
                report.skip(subject, format!("{what}: {error}"));
                report
            }),
            () = sleep(limit.saturating_add(GRACE)) => {
                let mut report = Self::default();
                report.find_silent(subject, limit, &what);
                report
            }
        }
    }

    fn find_silent(&mut self, subject: Subject, limit: Duration, what: &str) {
        let cause = format!("{what} did not answer within {} s", limit.as_secs());
        self.find(subject, cause, "see whether it hangs, and whether the way to it is cut");
    }
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What led to an error, in one line. Without what it says itself: that of an HTTP client has the URL, which may be a secret.
#[must_use]
pub fn causes(error: &dyn Error, is_timeout: bool) -> String {
    let timeout = is_timeout.then(|| "it took too long".to_owned());
    let causes = iter::successors(error.source(), |&error| error.source());
    let all: Vec<_> = timeout.into_iter().chain(causes.map(ToString::to_string)).collect();
    let text = if all.is_empty() { "it failed".to_owned() } else { all.join(": ") };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CAUSES_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_takes_too_long_is_a_finding_beside_what_it_found() {
        let mut report = Report::default();
        report
            .within(Subject::Bus, Duration::from_secs(5), "the bus", async |report| {
                report.find(Subject::Bus, "first\nline", "mend it");
                std::future::pending().await
            })
            .await;
        let causes: Vec<_> = report.findings.iter().map(|finding| &finding.cause[..]).collect();
        assert_eq!(causes, ["first line", "the bus did not answer within 5 s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_in_time_finds_what_it_finds() {
        let mut report = Report::default();
        report
            .within(Subject::Clock, Duration::from_secs(1), "a clock", async |report| {
                report.note(Subject::Clock, "it goes right");
            })
            .await;
        assert_eq!((report.findings.len(), report.facts.len()), (0, 1));
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_left_behind() {
        let (release, hangs) = std::sync::mpsc::channel::<()>();
        let report =
            Report::aside(Subject::Disk, Duration::ZERO, "a disk".into(), async move |_| {
                let _ = hangs.recv();
            })
            .await;
        let causes: Vec<_> = report.findings.iter().map(|finding| &finding.cause[..]).collect();
        assert_eq!(causes, ["a disk did not answer within 0 s"]);
        drop(release);
        let limit = Duration::from_secs(60);
        let looked = Report::aside(Subject::Disk, limit, "a disk".into(), async |report| {
            report.note(Subject::Disk, "it answers");
        });
        let looked = looked.await;
        assert_eq!((looked.findings.len(), looked.facts.len()), (0, 1));
    }
}
