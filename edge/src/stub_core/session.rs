//! What it tells of tokens that were taken away.

use netrox_proto::v1::{
    EndSessionsRequest, EndSessionsResponse, ListSessionsRequest, ListSessionsResponse,
    ReportSocketsRequest, ReportSocketsResponse, RevokeTokensRequest, RevokeTokensResponse,
    SessionNotice, WatchSessionsRequest, WatchSessionsResponse, session_notice::Notice,
    session_service_server::SessionService,
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
