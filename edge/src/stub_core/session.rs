//! What it tells of tokens that were taken away, and its tickets.

use std::collections::HashMap;

use netrox_proto::v1::{
    CreateTicketRequest, CreateTicketResponse, EndSessionsRequest, EndSessionsResponse,
    ErrorReason, Failure, ListSessionsRequest, ListSessionsResponse, RedeemTicketRequest,
    RedeemTicketResponse, ReportSocketsRequest, ReportSocketsResponse, RevokeTokensRequest,
    RevokeTokensResponse, SessionNotice, WatchSessionsRequest, WatchSessionsResponse,
    session_notice::Notice, session_service_server::SessionService,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{BoxStream, QUEUE, Sender, StubCore};

/// It knows nothing of them unless a test says otherwise.
#[derive(Default)]
pub(crate) struct Watches {
    pub(crate) is_known: bool,
    /// So many calls are still to be refused as unknown, all the same.
    pub(crate) unknown: usize,
    pub(crate) asked: usize,
    pub(crate) kept: Vec<Notice>,
    open: Vec<Sender<WatchSessionsResponse>>,
}

impl Watches {
    pub(crate) fn end_all(&mut self) {
        self.open.clear();
    }
}

/// Tickets that it has made, and those that are not used.
#[derive(Default)]
pub(crate) struct Tickets {
    pub(crate) made: Vec<CreateTicketRequest>,
    pub(crate) unused: HashMap<String, CreateTicketRequest>,
    /// What the next is refused with.
    pub(crate) failure: Option<Status>,
}

#[tonic::async_trait]
impl SessionService for StubCore {
    type WatchSessionsStream = BoxStream<WatchSessionsResponse>;

    async fn watch_sessions(
        &self,
        _: Request<Streaming<WatchSessionsRequest>>,
    ) -> Result<Response<Self::WatchSessionsStream>, Status> {
        self.change(|state| {
            let watches = &mut state.watches;
            watches.asked += 1;
            if !watches.is_known || watches.unknown > 0 {
                watches.unknown = watches.unknown.saturating_sub(1);
                return Err(Status::unimplemented("of an earlier version"));
            }
            let (sender, receiver) = mpsc::channel(QUEUE);
            let kept = watches.kept.iter().cloned();
            let notices = kept.map(|notice| SessionNotice { notice: Some(notice) }).collect();
            let first = WatchSessionsResponse { notices, live: true, ..Default::default() };
            let _ = sender.try_send(Ok(first));
            watches.open.push(sender);
            let responses: Self::WatchSessionsStream = Box::pin(ReceiverStream::new(receiver));
            Ok(Response::new(responses))
        })
    }

    async fn create_ticket(
        &self,
        request: Request<CreateTicketRequest>,
    ) -> Result<Response<CreateTicketResponse>, Status> {
        let request = request.into_inner();
        if let Some(path) = &request.path {
            self.file(path, Some(&request.user_id))?;
        }
        self.change(|state| {
            let tickets = &mut state.tickets;
            let ticket = ticket(tickets.made.len());
            let expires_in_s = if request.path.is_some() { 300 } else { 30 };
            tickets.made.push(request.clone());
            tickets.unused.insert(ticket.clone(), request);
            Ok(Response::new(CreateTicketResponse { ticket, expires: None, expires_in_s }))
        })
    }

    async fn redeem_ticket(
        &self,
        request: Request<RedeemTicketRequest>,
    ) -> Result<Response<RedeemTicketResponse>, Status> {
        let RedeemTicketRequest { ticket, path } = request.into_inner();
        let bought = self.change(|state| {
            if let Some(failure) = state.tickets.failure.take() {
                return Err(failure);
            }
            let unused = &mut state.tickets.unused;
            let found = unused.get(&ticket).filter(|bought| bought.path == path).cloned();
            if path.is_none() && found.is_some() {
                unused.remove(&ticket);
            }
            let unknown = || Failure::new(ErrorReason::TicketUnknown, "no such ticket").into();
            found.ok_or_else(unknown)
        })?;
        if let Some(path) = &path {
            self.file(path, Some(&bought.user_id))?;
        }
        let CreateTicketRequest { user_id, token_expires, token, .. } = bought;
        Ok(Response::new(RedeemTicketResponse { user_id, token_expires, token }))
    }

    type ReportSocketsStream = BoxStream<ReportSocketsResponse>;

    async fn report_sockets(
        &self,
        request: Request<Streaming<ReportSocketsRequest>>,
    ) -> Result<Response<Self::ReportSocketsStream>, Status> {
        let core = self.clone();
        let responses = request.into_inner().filter_map(move |request| {
            if let Ok(request) = request {
                core.change(|state| state.presence.reports.push(request));
            }
            None
        });
        let responses: Self::ReportSocketsStream = Box::pin(responses);
        Ok(Response::new(responses))
    }

    async fn revoke_tokens(
        &self,
        _: Request<RevokeTokensRequest>,
    ) -> Result<Response<RevokeTokensResponse>, Status> {
        Err(Status::unimplemented("not of an edge"))
    }

    async fn end_sessions(
        &self,
        _: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        Err(Status::unimplemented("not of an edge"))
    }

    async fn list_sessions(
        &self,
        _: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        Err(Status::unimplemented("not of an edge"))
    }
}

/// What is made after as many others.
pub(crate) fn ticket(number: usize) -> String {
    format!("ticket-{number:060}")
}
