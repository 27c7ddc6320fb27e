//! One edge that watches: first all that is kept, then what is new, and a sign of life in between.

use std::time::Duration;

use netrox_metrics::Held;
use netrox_proto::v1::{
    self, EdgeOver, SessionsOfUser, WatchSessionsRequest, WatchSessionsResponse,
    watch_sessions_request::Request,
};
use prost::Message as _;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{
    Sessions,
    board::{Posted, Question},
    news::MAX_SILENCE,
    parse::{ForEdge, to_edge},
};
use crate::{
    committer::{AnswerQuestion, ForgetEdges},
    error::Error,
    store::session::PAGE_NOTICES,
};

/// After so long without a word comes a sign of life, and after twice as long at the latest.
const BEAT: Duration = Duration::from_millis(100);
/// An edge that takes nothing for so long has given up, or will.
const SEND_TIME: Duration = Duration::from_secs(5);
/// What an edge may say of a user.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

pub(super) struct Watch {
    pub(super) sessions: Sessions,
    pub(super) name: String,
    pub(super) requests: Streaming<WatchSessionsRequest>,
    pub(super) responses: mpsc::Sender<Result<WatchSessionsResponse, Status>>,
    /// When something was last sent.
    pub(super) told: Instant,
    pub(super) _open: Held,
}

/// How a watch ends.
enum End {
    /// The edge says so.
    Over,
    /// The edge is gone, or too slow.
    Gone,
    /// This core cannot go on.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Watch {
    pub(super) async fn run(mut self) {
        let mut posted = self.sessions.board.post(&self.name);
        let Err(end) = self.serve(&mut posted).await;
        match end {
            End::Over => {
                posted.is_over = true;
                drop(posted);
                self.forget().await;
            }
            End::Gone => tracing::debug!(edge = self.name, "an edge has broken off"),
            End::Failed(error) => {
                tracing::debug!(edge = self.name, %error, "an edge cannot watch any more");
                // It may be gone.
                let _ = timeout(SEND_TIME, self.responses.send(Err(error.into()))).await;
            }
        }
    }

    async fn forget(&self) {
        if self.sessions.is_clustered() {
            let forgotten = async {
                let names = vec![self.name.clone()];
                self.sessions.committer.submit(ForgetEdges(names))?.answer().await
            };
            if let Err(error) = forgotten.await {
                tracing::debug!(edge = self.name, %error, "an edge cannot be forgotten");
            }
        }
    }

    async fn serve(&mut self, posted: &mut Posted) -> Result<std::convert::Infallible, End> {
        // Before the first look, so that nothing falls between the two.
        let mut news = self.sessions.news.subscribe();
        let mut rewound = self.sessions.news.rewound();
        let (mut version, known_at) = self.tell_kept_in_turn().await?;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = news.changed() => {
                    changed.map_err(|_| Error::ShuttingDown)?;
                    self.tell_new(&mut version).await?;
                }
                _ = rewound.changed() => {
                    // What has the versions from here on may be something else: all is told anew.
                    return Err(Error::StoreUnavailable.into());
                }
                question = posted.questions.recv() => {
                    let Some(question) = question else { return Err(End::Gone) };
                    // It would be taken for a sign of life.
                    if self.sessions.news.are_fresh() {
                        self.ask(&[question]).await?;
                    }
                }
                request = self.requests.message() => {
                    let Some(request) = request.map_err(|_| End::Gone)? else {
                        return Err(End::Gone);
                    };
                    if let Some(Request::Over(EdgeOver {})) = request.request {
                        return Err(End::Over);
                    }
                    self.hear(request);
                }
                _ = beat.tick() => {
                    let news_age = &self.sessions.news;
                    if !news_age.are_younger(MAX_SILENCE) && known_at.elapsed() >= MAX_SILENCE {
                        return Err(Error::StoreUnavailable.into());
                    }
                    let is_due = self.told.elapsed() >= BEAT && news_age.are_fresh();
                    // What is new goes first: a sign of life says that nothing is.
                    if is_due && !news.has_changed().unwrap_or(true) {
                        self.send(WatchSessionsResponse::default()).await?;
                    }
                }
            }
        }
    }

    /// As [`Self::tell_kept`]. Who waits for their turn is given signs of life.
    async fn tell_kept_in_turn(&mut self) -> Result<(i64, Instant), End> {
        let board = self.sessions.board.clone();
        let mut turn = Box::pin(board.turn());
        let turn = loop {
            match timeout(BEAT, &mut turn).await {
                Ok(turn) => break turn,
                Err(_) => self.send(WatchSessionsResponse::default()).await?,
            }
        };
        let told = self.tell_kept().await;
        drop(turn);
        told
    }

    /// Tells all that is kept; gives the version of the last, and when that was so.
    async fn tell_kept(&mut self) -> Result<(i64, Instant), End> {
        let mut version = 0;
        loop {
            let known_at = Instant::now();
            let (is_last, notices, _) = self.read(&mut version).await?;
            self.send(WatchSessionsResponse { notices, live: is_last, ..Default::default() })
                .await?;
            if is_last {
                return Ok((version, known_at));
            }
        }
    }

    async fn tell_new(&mut self, version: &mut i64) -> Result<(), End> {
        loop {
            let (is_last, notices, questions) = self.read(version).await?;
            if !notices.is_empty() {
                self.send(WatchSessionsResponse { notices, ..Default::default() }).await?;
            }
            self.ask(&questions).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// A page after the version, which is that of its end then; and whether it is the last.
    async fn read(
        &self,
        version: &mut i64,
    ) -> Result<(bool, Vec<v1::SessionNotice>, Vec<Question>), End> {
        let rows = self.sessions.store.list_notices(*version).await.map_err(Error::from)?;
        let is_last = rows.len() < PAGE_NOTICES;
        *version = rows.last().map_or(*version, |row| row.version);
        let (mut notices, mut questions) = (Vec::new(), Vec::new());
        for row in rows {
            match ForEdge::from(row) {
                ForEdge::Notice(notice) => notices.push(notice),
                // Those of this core were asked directly.
                ForEdge::Question(id, _) if self.sessions.board.has_asked(id) => {}
                ForEdge::Question(id, user) => questions.push((id, user)),
                ForEdge::Nothing => {}
            }
        }
        Ok((is_last, notices, questions))
    }

    async fn ask(&mut self, questions: &[Question]) -> Result<(), End> {
        if questions.is_empty() {
            return Ok(());
        }
        let questions = questions.iter().map(|(id, user)| to_edge(*id, *user)).collect();
        self.send(WatchSessionsResponse { questions, ..Default::default() }).await
    }

    async fn send(&mut self, response: WatchSessionsResponse) -> Result<(), End> {
        match timeout(SEND_TIME, self.responses.send(Ok(response))).await {
            Ok(Ok(())) => {
                self.told = Instant::now();
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// An answer of the edge, which goes to whoever asked.
    fn hear(&self, request: WatchSessionsRequest) {
        let Some(Request::Answer(answer)) = request.request else { return };
        let Ok(question) = Uuid::from_slice(&answer.question_id) else { return };
        let SessionsOfUser { question_id, sessions } = answer;
        let Some(sessions) = self.sessions.board.answer(question, &self.name, sessions) else {
            return;
        };
        if !self.sessions.is_clustered() {
            return;
        }
        let sessions = SessionsOfUser { question_id, sessions }.encode_to_vec();
        if sessions.len() > MAX_ANSWER_BYTES {
            return;
        }
        let answer = AnswerQuestion { question, edge: self.name.clone(), sessions };
        let committer = self.sessions.committer.clone();
        // Where it cannot be stored, the edge has not answered.
        self.sessions.tasks.spawn(async move {
            let stored = async { committer.submit(answer)?.answer().await };
            if let Err(error) = stored.await {
                tracing::debug!(%error, "an answer of an edge is lost");
            }
        });
    }
}
