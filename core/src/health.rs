//! Tells `grpc.health.v1` whether the core can serve.

use futures_util::{StreamExt as _, stream::BoxStream};
use netrox_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus, health_server,
};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::committer;

/// Of the whole server, and of each service. They share one state.
const SERVICES: [&str; 4] = [
    "",
    "netrox.chat.v1.AttachmentService",
    "netrox.chat.v1.ChatService",
    "netrox.chat.v1.DirectoryService",
];

/// The service, and what it is told; watches end when that is dropped.
pub(crate) fn service() -> (watch::Sender<ServingStatus>, Health) {
    // As long as nobody has said otherwise: the database is open.
    let (reporter, status) = watch::channel(ServingStatus::Serving);
    (reporter, Health { status })
}

#[derive(Debug, Clone)]
pub(crate) struct Health {
    status: watch::Receiver<ServingStatus>,
}

impl Health {
    fn now(&self) -> HealthCheckResponse {
        response(*self.status.borrow())
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&&*request.get_ref().service) {
            return Err(Status::not_found("there is no such service"));
        }
        Ok(Response::new(self.now()))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let statuses = SERVICES.map(|service| (service.to_owned(), self.now()));
        Ok(Response::new(HealthListResponse { statuses: statuses.into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = SERVICES.contains(&&*request.get_ref().service);
        let changes = WatchStream::new(self.status.clone()).enumerate();
        // One that is not known will not become so, but its stream lasts as long as any.
        let told = changes.filter_map(move |(number, status)| {
            let told = match is_known {
                true => Some(status),
                false => (number == 0).then_some(ServingStatus::ServiceUnknown),
            };
            std::future::ready(told.map(|status| Ok(response(status))))
        });
        Ok(Response::new(told.boxed()))
    }
}

/// What ends the process.
pub(crate) struct Ends {
    /// Cancelled when the database is damaged.
    pub(crate) damaged: CancellationToken,
    /// Cancelled when the task that commits has died.
    pub(crate) died: CancellationToken,
}

/// Follows the database, and whether the directory of files takes any, until the drain.
pub(crate) async fn report(
    reporter: watch::Sender<ServingStatus>,
    mut health: watch::Receiver<committer::Health>,
    mut takes_files: watch::Receiver<bool>,
    draining: CancellationToken,
    ends: Ends,
) {
    loop {
        let status = match *health.borrow_and_update() {
            committer::Health::Serving if *takes_files.borrow_and_update() => {
                ServingStatus::Serving
            }
            committer::Health::Serving => ServingStatus::NotServing,
            committer::Health::Unavailable => ServingStatus::NotServing,
            committer::Health::Damaged => {
                ends.damaged.cancel();
                ServingStatus::NotServing
            }
        };
        reporter.send_replace(status);
        tokio::select! {
            changed = health.changed() => if changed.is_err() {
                if !draining.is_cancelled() {
                    ends.died.cancel();
                }
                break;
            },
            Ok(()) = takes_files.changed() => {}
            () = draining.cancelled() => break,
        }
    }
    // Watchers are told, and then their streams end: an open one would hold up the drain.
    reporter.send_replace(ServingStatus::NotServing);
}
