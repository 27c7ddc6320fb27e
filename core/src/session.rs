//! `SessionService`: which access tokens count no more, which WebSockets are open, and tickets for them.
//!
//! What is said is a notice in the database, whose version tells what is new. Every edge watches one core; a core whose database
//! others share looks for new versions while one does.
//!
//! * [`parse`]: requests as notices, and notices as edges are told them.
//! * [`news`]: whether there is something new, and since when that is known.
//! * [`board`]: the edges that watch this core, and what they are asked.
//! * [`watch`]: one edge that watches.

use std::time::Duration;

use netrox_audit::{Audit, Name};
use netrox_proto::{
    time::timestamp,
    v1::{self, session_service_server::SessionService},
};
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

mod board;
mod news;
mod parse;
mod watch;

pub(crate) use self::{board::Board, news::News};
use self::{
    parse::{Revocation, ended, question, revocation},
    watch::Watch,
};
use crate::{
    audit::{Audited, caller},
    clock::now_micros,
    command,
    committer::{Committer, SeeEdges},
    error::Error,
    metrics::{Stream, Streams},
    presence::Presence,
    store::Store,
    ticket::Tickets,
};

/// How long an edge has to answer.
const ANSWER_TIME: Duration = Duration::from_millis(1_000);
/// How often is looked for answers that came by way of other cores.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Edges are gone that were not seen for thrice as long.
const SEE_INTERVAL: Duration = Duration::from_secs(20);
/// How long an edge may take to say its name.
const NAME_TIME: Duration = Duration::from_secs(4);
const MAX_NAME_BYTES: usize = 255;
/// Responses on their way to an edge.
const QUEUE: usize = 4;
const MICROS_A_SECOND: i64 = 1_000_000;

#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    pub(crate) streams: Streams,
    pub(crate) presence: Presence,
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) board: Board,
    pub(crate) news: News,
    pub(crate) tickets: Tickets,
    pub(crate) tasks: TaskTracker,
    pub(crate) draining: CancellationToken,
    pub(crate) audit: Audit,
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn revoke_tokens(
        &self,
        request: Request<v1::RevokeTokensRequest>,
    ) -> Result<Response<v1::RevokeTokensResponse>, Status> {
        let caller = caller(request.extensions());
        let Revocation { notice, user, is_dated, words } =
            revocation(request.into_inner(), now_micros())?;
        let audited = Audited::begin(&self.audit, Name::TokensRevoked, caller, user).saying(words);
        let noted = async { self.committer.submit(notice)?.answer().await };
        let noted = audited.end(noted.await)?;
        let of_seconds = |seconds: i64| timestamp(seconds.saturating_mul(MICROS_A_SECOND));
        Ok(Response::new(v1::RevokeTokensResponse {
            issued_before: is_dated.then(|| of_seconds(noted.cutoff)),
            expires_at: noted.expires.map(of_seconds),
        }))
    }

    async fn end_sessions(
        &self,
        request: Request<v1::EndSessionsRequest>,
    ) -> Result<Response<v1::EndSessionsResponse>, Status> {
        let caller = caller(request.extensions());
        let (notice, user, words) = ended(request.into_inner(), now_micros())?;
        let audited = Audited::begin(&self.audit, Name::SessionsEnded, caller, user).saying(words);
        let noted = async { self.committer.submit(notice)?.answer().await };
        audited.end(noted.await)?;
        Ok(Response::new(v1::EndSessionsResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let caller = caller(request.extensions());
        let user = command::parse::user_id("user_id", &request.into_inner().user_id)?;
        let audited = Audited::begin(&self.audit, Name::SessionsListed, caller, [user]);
        let listed = audited.end(self.list(user.0).await)?;
        Ok(Response::new(listed))
    }

    async fn create_ticket(
        &self,
        request: Request<v1::CreateTicketRequest>,
    ) -> Result<Response<v1::CreateTicketResponse>, Status> {
        Ok(Response::new(self.tickets.create(request.into_inner()).await?))
    }

    async fn redeem_ticket(
        &self,
        request: Request<v1::RedeemTicketRequest>,
    ) -> Result<Response<v1::RedeemTicketResponse>, Status> {
        Ok(Response::new(self.tickets.redeem(request.into_inner()).await?))
    }

    type WatchSessionsStream = ReceiverStream<Result<v1::WatchSessionsResponse, Status>>;

    async fn watch_sessions(
        &self,
        request: Request<Streaming<v1::WatchSessionsRequest>>,
    ) -> Result<Response<Self::WatchSessionsStream>, Status> {
        if self.draining.is_cancelled() {
            return Err(Error::ShuttingDown.into());
        }
        let mut requests = request.into_inner();
        let unnamed = Error::InvalidField { field: "edge", problem: "not 1 to 255 bytes, first" };
        let first = timeout(NAME_TIME, requests.message()).await;
        let first = first.map_err(|_| Status::from(unnamed.clone()))??;
        let name = match first.and_then(|first| first.request) {
            Some(v1::watch_sessions_request::Request::Edge(name))
                if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains('\0') =>
            {
                name
            }
            Some(_) | None => return Err(unnamed.into()),
        };
        let (responses, sent) = tokio::sync::mpsc::channel(QUEUE);
        let (sessions, told) = (self.clone(), Instant::now());
        let _open = self.streams.open(Stream::Watch);
        let watch = Watch { sessions, name, requests, responses, told, _open };
        let draining = self.draining.clone();
        self.tasks.spawn(async move {
            draining.run_until_cancelled(watch.run()).await;
        });
        Ok(Response::new(ReceiverStream::new(sent)))
    }

    type ReportSocketsStream = ReceiverStream<Result<v1::ReportSocketsResponse, Status>>;

    async fn report_sockets(
        &self,
        request: Request<Streaming<v1::ReportSocketsRequest>>,
    ) -> Result<Response<Self::ReportSocketsStream>, Status> {
        if self.draining.is_cancelled() {
            return Err(Error::ShuttingDown.into());
        }
        let (responses, sent) = tokio::sync::mpsc::channel(QUEUE);
        let open = self.streams.open(Stream::Report);
        let following = self.presence.clone().follow_edge(request.into_inner(), responses);
        let draining = self.draining.clone();
        self.tasks.spawn(async move {
            draining.run_until_cancelled(following).await;
            drop(open);
        });
        Ok(Response::new(ReceiverStream::new(sent)))
    }
}

impl Sessions {
    /// Whether other cores may use the database.
    fn is_clustered(&self) -> bool {
        self.store.cluster().is_some()
    }

    /// What the edges say of a user.
    pub(crate) async fn list(&self, user: Uuid) -> Result<v1::ListSessionsResponse, Error> {
        let deadline = Instant::now() + ANSWER_TIME;
        let id = Uuid::new_v4();
        let mut inquiry = self.board.ask(id, user);
        if self.is_clustered() {
            inquiry.expect(self.store.list_edges().await?);
            if inquiry.goes_further() {
                let notice = question(id, user, now_micros());
                self.committer.submit(notice)?.answer().await?;
            }
        }
        while !inquiry.is_complete() && Instant::now() < deadline {
            if !self.is_clustered() {
                // Where nobody is left who could answer, the time is over.
                let _ = tokio::time::timeout_at(deadline, inquiry.next()).await;
                continue;
            }
            // What edges of this core say comes meanwhile.
            let pause = sleep(LOOK_INTERVAL);
            tokio::pin!(pause);
            tokio::select! {
                () = &mut pause => {}
                () = inquiry.next() => {}
            }
            if inquiry.is_complete() {
                break;
            }
            for answer in self.store.list_answers(id).await? {
                let said = v1::SessionsOfUser::decode(&*answer.sessions).unwrap_or_default();
                inquiry.take(answer.edge, said.sessions);
            }
        }
        Ok(inquiry.end())
    }

    /// Lets other cores know which edges watch this one, until the drain. To be spawned where there are others.
    pub(crate) async fn see_edges(self) {
        let seeing = async {
            loop {
                self.board.is_watched().await;
                let edges = self.board.names().into_iter().collect();
                let seen = async { self.committer.submit(SeeEdges(edges))?.answer().await };
                if let Err(error) = seen.await {
                    tracing::debug!(%error, "the edges of this core cannot be noted");
                }
                tokio::select! {
                    () = sleep(SEE_INTERVAL) => {}
                    () = self.board.has_another() => {}
                }
            }
        };
        self.draining.run_until_cancelled(seeing).await;
    }
}
