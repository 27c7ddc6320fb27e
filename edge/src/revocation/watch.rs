//! How this edge learns which tokens were taken away and which sessions are to end: it watches one core at a time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use netrox_proto::v1::{
    EdgeOver, EndedSessions, RevokedTokens, SessionNotice, SessionsOfUser, WatchSessionsRequest,
    WatchSessionsResponse, ended_sessions::Sessions, session_notice::Notice,
    watch_sessions_request::Request,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{KNOWN_FOR, Revocations};
use crate::{
    auth::now, backoff::Backoff, core_client::CoreClient, metrics::WatchMetrics,
    notice::Notice as LogNotice, ws::WebSockets,
};

const FIRST_RETRY: Duration = Duration::from_millis(50);
const MAX_RETRY: Duration = Duration::from_secs(1);
/// For the first answer of a core that was reached.
const OPEN_TIME: Duration = Duration::from_secs(3);
/// After so long without a sign of a core another is asked.
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// What comes after less was there before, and may be old.
const FRESH_AFTER: Duration = Duration::from_millis(50);
/// So many times each core does not know the call, one after the other, until it is believed that none does.
const ROUNDS: usize = 3;
/// How often they are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked what has expired.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// Twice as long as a core keeps that sessions were ended.
const ENDS_KEPT_SECONDS: i64 = 2 * 24 * 3_600;
/// Answers on their way to the core: it asks no faster than they are taken.
const ANSWERS: usize = 64;
/// For the core to take notice of the end of this edge.
const END_TIME: Duration = Duration::from_secs(1);

/// When sessions were last ended, in microseconds since the epoch: what is told again is not done again.
#[derive(Default)]
struct Ends {
    at: HashMap<Sessions, i64>,
    /// A core has told which there were. Those of before are no business of the sockets here.
    are_told: bool,
}

type Responses = Streaming<WatchSessionsResponse>;

pub(crate) struct Watcher {
    pub(crate) core: CoreClient,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) web_sockets: Arc<WebSockets>,
    pub(crate) metrics: WatchMetrics,
    /// What cores call this edge.
    pub(crate) name: String,
}

/// A watch that a core has answered.
struct Watch {
    answers: mpsc::Sender<WatchSessionsRequest>,
    responses: Responses,
    /// When it was last known to be up to date.
    heard_at: Instant,
    /// When something came last.
    last_at: Instant,
    /// Since when what comes may be old.
    late_since: Option<Instant>,
}

/// Why a watch cannot go on.
enum Broken {
    /// The core does not know the call.
    Unknown,
    Failed(Status),
    Silent,
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Unknown,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => Self::Failed(status),
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("it does not know of them"),
            Self::Failed(status) => f.write_str(status.message()),
            Self::Silent => f.write_str("it gives no sign of life"),
        }
    }
}

impl Watcher {
    /// Nobody is let in before a core was heard. To be called before anything is served.
    pub(crate) fn begin(&self) {
        self.revocations.set_behind();
        self.metrics.set_live(false);
    }

    /// Watches until the last session has ended in a drain.
    pub(crate) async fn run(self) {
        let mut ends = Ends::default();
        let mut last = None;
        let watching = self.watch(&mut ends, &mut last);
        tokio::select! {
            () = watching => {}
            () = self.web_sockets.ended() => {}
        }
        if let Some(Watch { answers, mut responses, .. }) = last {
            // The core ends its responses then. Where there is no room, it misses this edge for a minute.
            let over = WatchSessionsRequest { request: Some(Request::Over(EdgeOver {})) };
            let _ = answers.try_send(over);
            drop(answers);
            let _ =
                timeout(END_TIME, async { while let Ok(Some(_)) = responses.message().await {} })
                    .await;
        }
    }

    /// Never ends. `last` is the watch that stands, if one does. What is known stays so until the silence is too long.
    async fn watch(&self, ends: &mut Ends, last: &mut Option<Watch>) {
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        let (mut unknown, mut is_untold, told) = (0, false, LogNotice::default());
        loop {
            let broken = match self.open(ends).await {
                Ok(watch) => {
                    (unknown, is_untold) = (0, false);
                    backoff.reset();
                    self.follow(last.insert(watch), ends).await
                }
                Err(broken) => broken,
            };
            *last = None;
            self.metrics.set_live(false);
            if matches!(broken, Broken::Unknown) {
                unknown += 1;
                if is_untold {
                    sleep(ASK_AGAIN).await;
                } else if unknown >= ROUNDS * self.core.connections().max(1) {
                    tracing::warn!(
                        "the core knows nothing of tokens that are taken away: it is of an earlier version; what is revoked \
                         meanwhile is not known here"
                    );
                    is_untold = true;
                    self.revocations.set_untold();
                    sleep(ASK_AGAIN).await;
                } else if ends.are_told {
                    // One that does know may be there in a moment.
                    sleep(FIRST_RETRY).await;
                }
                continue;
            }
            unknown = 0;
            if std::mem::take(&mut is_untold) {
                self.revocations.set_behind();
            }
            if let Some(untold) = told.happened() {
                tracing::warn!(
                    untold,
                    error = %broken,
                    "no core tells which tokens are taken away: requests wait until one does"
                );
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// A watch of a core that has told all that it keeps.
    async fn open(&self, ends: &mut Ends) -> Result<Watch, Broken> {
        let (answers, requests) = mpsc::channel(ANSWERS);
        let name = WatchSessionsRequest { request: Some(Request::Edge(self.name.clone())) };
        // There is room for the first.
        let _ = answers.try_send(name);
        let mut sessions = self.core.sessions.clone();
        let opened = timeout(OPEN_TIME, sessions.watch_sessions(ReceiverStream::new(requests)));
        let opened = opened.await.map_err(|_| Broken::Silent)??;
        let now = Instant::now();
        let responses = opened.into_inner();
        let mut watch = Watch { answers, responses, heard_at: now, last_at: now, late_since: None };
        let (mut news, mut told) = (Vec::new(), HashMap::new());
        loop {
            let WatchSessionsResponse { notices, live, .. } = watch.next().await?;
            let mut revoked = Vec::new();
            for notice in notices {
                match notice.notice {
                    Some(Notice::Revoked(notice)) => revoked.push(notice),
                    Some(Notice::Ended(ended)) => {
                        told.extend(ended.sessions.map(|sessions| (sessions, ended.ended_at)));
                    }
                    None => {}
                }
            }
            // What was known counts still: the database may have gone back.
            news.append(&mut self.add(revoked));
            if live {
                break;
            }
        }
        self.close_revoked(&news).await;
        if std::mem::replace(&mut ends.are_told, true) {
            let is_new = |(sessions, at): &(&Sessions, &i64)| ends.at.get(*sessions) != Some(*at);
            let new: Vec<_> =
                told.iter().filter(is_new).map(|(sessions, _)| sessions.clone()).collect();
            self.web_sockets.end_sessions(&new).await;
        }
        ends.at = told;
        watch.tell(&self.revocations);
        self.metrics.set_live(true);
        Ok(watch)
    }

    async fn follow(&self, watch: &mut Watch, ends: &mut Ends) -> Broken {
        let mut tidied = Instant::now();
        loop {
            let response = match watch.next().await {
                Ok(response) => response,
                Err(broken) => return broken,
            };
            let WatchSessionsResponse { notices, questions, .. } = response;
            if !notices.is_empty() {
                self.learn(notices, ends).await;
            }
            watch.tell(&self.revocations);
            self.metrics.heard(now());
            for question in questions {
                let mut sessions = self.web_sockets.sessions_of(&question.user_id);
                sessions.iter_mut().for_each(|session| session.edge.clone_from(&self.name));
                let question_id = question.question_id;
                let answer = Request::Answer(SessionsOfUser { question_id, sessions });
                // A core that asks faster than it takes answers has to do without.
                let _ = watch.answers.try_send(WatchSessionsRequest { request: Some(answer) });
            }
            if tidied.elapsed() >= TIDY_INTERVAL {
                tidied = Instant::now();
                self.metrics.set_kept(self.revocations.forget_expired(now()));
                let longest = now().saturating_sub(ENDS_KEPT_SECONDS).saturating_mul(1_000_000);
                ends.at.retain(|_, ended_at| *ended_at > longest);
            }
        }
    }

    /// Gives those that are new.
    fn add(&self, revoked: Vec<RevokedTokens>) -> Vec<RevokedTokens> {
        let (new, count) = self.revocations.add(revoked);
        self.metrics.set_kept(count);
        new
    }

    async fn close_revoked(&self, new: &[RevokedTokens]) {
        if !new.is_empty() {
            self.web_sockets.close_revoked(&self.revocations, new).await;
        }
    }

    async fn learn(&self, notices: Vec<SessionNotice>, ends: &mut Ends) {
        let (mut revoked, mut ended) = (Vec::new(), Vec::new());
        for notice in notices {
            match notice.notice {
                Some(Notice::Revoked(notice)) => revoked.push(notice),
                Some(Notice::Ended(EndedSessions { sessions: Some(sessions), ended_at })) => {
                    if ends.at.insert(sessions.clone(), ended_at) != Some(ended_at) {
                        ended.push(sessions);
                    }
                }
                Some(Notice::Ended(EndedSessions { sessions: None, .. })) | None => {}
            }
        }
        let new = self.add(revoked);
        self.close_revoked(&new).await;
        if !ended.is_empty() {
            self.web_sockets.end_sessions(&ended).await;
        }
    }
}

impl Watch {
    /// What comes next. What comes late may be old, and so may be what comes with it: it waited while this process or the network
    /// stood still. It says something new all the same.
    async fn next(&mut self) -> Result<WatchSessionsResponse, Broken> {
        let asked_at = Instant::now();
        let next = timeout(MAX_SILENCE, self.responses.message()).await;
        let now = Instant::now();
        if now - asked_at >= MAX_SILENCE {
            return Err(Broken::Silent);
        }
        let next = next.map_err(|_| Broken::Silent)??;
        let last_at = std::mem::replace(&mut self.last_at, now);
        if now - last_at >= KNOWN_FOR {
            self.late_since.get_or_insert(now);
        } else if now - asked_at >= FRESH_AFTER {
            self.late_since = None;
        }
        match self.late_since {
            None => self.heard_at = now,
            Some(since) if now - since >= MAX_SILENCE => return Err(Broken::Silent),
            Some(_) => {}
        }
        next.ok_or_else(|| Broken::Failed(Status::unavailable("it has ended")))
    }

    /// To be called when what it told was done.
    fn tell(&self, revocations: &Revocations) {
        if self.late_since.is_none() {
            revocations.set_heard(self.heard_at);
        }
    }
}

/// The name of the host, as far as it can be had, and what tells this process from others there.
pub(crate) fn edge_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    let host = if host.is_empty() { "edge" } else { &host };
    format!("{host}-{:08x}", rand::random::<u32>())
}
