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

use crate::{
    metrics::{Part, Serving},
    store::DatabaseState,
};

/// What the state of a service follows.
#[derive(Debug, Clone, Copy)]
enum Follows {
    Database,
    /// The database as well: a file belongs to a message.
    Files,
}

/// The whole server, and each service. Text goes on where no files are taken.
const SERVICES: [(&str, Follows); 6] = [
    ("", Follows::Files),
    ("netrox.chat.v1.AdminService", Follows::Database),
    ("netrox.chat.v1.AttachmentService", Follows::Files),
    ("netrox.chat.v1.ChatService", Follows::Database),
    ("netrox.chat.v1.DirectoryService", Follows::Database),
    ("netrox.chat.v1.SessionService", Follows::Database),
];

/// Whether there is service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    database: bool,
    files: bool,
}

impl State {
    fn of(self, service: Follows) -> ServingStatus {
        let is_serving = match service {
            Follows::Database => self.database,
            Follows::Files => self.database && self.files,
        };
        if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

/// The service, and what it is told; watches end when that is dropped.
pub(crate) fn service() -> (watch::Sender<State>, Health) {
    // As long as nobody has said otherwise: the database is open.
    let (reporter, state) = watch::channel(State { database: true, files: true });
    (reporter, Health { state })
}

#[derive(Debug, Clone)]
pub(crate) struct Health {
    state: watch::Receiver<State>,
}

impl Health {
    /// Why the whole server does not serve, in a word.
    pub(crate) fn reason_against(&self) -> Option<&'static str> {
        let State { database, files } = *self.state.borrow();
        if !database {
            Some("database")
        } else if !files {
            Some("files")
        } else {
            None
        }
    }
}

fn find(service: &str) -> Option<Follows> {
    SERVICES.iter().find(|(name, _)| *name == service).map(|(_, follows)| *follows)
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
        let service = find(&request.get_ref().service);
        let service = service.ok_or_else(|| Status::not_found("there is no such service"))?;
        Ok(Response::new(response(self.state.borrow().of(service))))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let state = *self.state.borrow();
        let statuses =
            SERVICES.map(|(name, service)| (name.to_owned(), response(state.of(service))));
        Ok(Response::new(HealthListResponse { statuses: statuses.into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = find(&request.get_ref().service);
        let mut last = None;
        let told = WatchStream::new(self.state.clone()).filter_map(move |state| {
            // One that is not known will not become so, but its stream lasts as long as any.
            let status = service.map_or(ServingStatus::ServiceUnknown, |service| state.of(service));
            let is_news = last.replace(status) != Some(status);
            std::future::ready(is_news.then(|| Ok(response(status))))
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
    reporter: watch::Sender<State>,
    mut health: watch::Receiver<DatabaseState>,
    mut takes_files: watch::Receiver<bool>,
    draining: CancellationToken,
    ends: Ends,
    metrics: Serving,
) {
    let tell = |state: State| {
        metrics.set(Part::Database, state.database);
        metrics.set(Part::Files, state.files);
        reporter.send_if_modified(|told| std::mem::replace(told, state) != state);
    };
    loop {
        let database = match *health.borrow_and_update() {
            DatabaseState::Serving => true,
            DatabaseState::Unavailable => false,
            DatabaseState::Damaged => {
                ends.damaged.cancel();
                false
            }
        };
        tell(State { database, files: *takes_files.borrow_and_update() });
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
    tell(State { database: false, files: false });
}

#[cfg(test)]
mod tests {
    use health_server::Health as _;

    use super::*;
    use crate::metrics::Metrics;

    const CHAT: &str = "netrox.chat.v1.ChatService";

    struct World {
        health: Health,
        database: watch::Sender<DatabaseState>,
        files: watch::Sender<bool>,
        draining: CancellationToken,
    }

    impl World {
        fn new() -> Self {
            let (reporter, health) = service();
            let (database, of_database) = watch::channel(DatabaseState::Serving);
            let (files, of_files) = watch::channel(true);
            let draining = CancellationToken::new();
            let ends = Ends { damaged: CancellationToken::new(), died: CancellationToken::new() };
            tokio::spawn(report(
                reporter,
                of_database,
                of_files,
                draining.clone(),
                ends,
                Metrics::default().serving,
            ));
            Self { health, database, files, draining }
        }

        /// What a watch is told next; `None` at its end.
        async fn watch(&self, service: &str) -> impl FnMut() -> Told {
            let request = HealthCheckRequest { service: service.into() };
            let watched = self.health.watch(Request::new(request)).await.expect("a stream");
            let mut watched = watched.into_inner();
            move || {
                let next = watched.next();
                futures_util::FutureExt::now_or_never(next)
                    .map(|told| told.map(|told| told.expect("a state").status()))
            }
        }

        async fn check(&self, service: &str) -> ServingStatus {
            let request = HealthCheckRequest { service: service.into() };
            let answer = self.health.check(Request::new(request)).await;
            answer.expect("an answer").into_inner().status()
        }

        /// Until all that is known is told.
        async fn settle(&self) {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Nothing yet, the end, or a state.
    type Told = Option<Option<ServingStatus>>;

    #[tokio::test]
    async fn text_is_served_while_no_files_are_taken() {
        let world = World::new();
        let (mut chat, mut whole) = (world.watch(CHAT).await, world.watch("").await);
        assert_eq!(chat(), Some(Some(ServingStatus::Serving)));
        assert_eq!(whole(), Some(Some(ServingStatus::Serving)));
        world.files.send_replace(false);
        world.settle().await;
        assert_eq!(whole(), Some(Some(ServingStatus::NotServing)));
        assert_eq!(chat(), None, "nothing has changed for text");
        for (service, expected) in [
            ("", ServingStatus::NotServing),
            ("netrox.chat.v1.AttachmentService", ServingStatus::NotServing),
            (CHAT, ServingStatus::Serving),
            ("netrox.chat.v1.DirectoryService", ServingStatus::Serving),
        ] {
            assert_eq!(world.check(service).await, expected, "{service:?}");
        }
        world.database.send_replace(DatabaseState::Unavailable);
        world.settle().await;
        assert_eq!(chat(), Some(Some(ServingStatus::NotServing)));
        assert_eq!(whole(), None, "it was told");
        world.files.send_replace(true);
        world.database.send_replace(DatabaseState::Serving);
        world.settle().await;
        assert_eq!(chat(), Some(Some(ServingStatus::Serving)));
        assert_eq!(whole(), Some(Some(ServingStatus::Serving)));
    }

    #[tokio::test]
    async fn a_state_is_told_once_and_the_drain_ends_watches() {
        let world = World::new();
        let (mut chat, mut unknown) = (world.watch(CHAT).await, world.watch("no.such").await);
        assert_eq!(chat(), Some(Some(ServingStatus::Serving)));
        assert_eq!(unknown(), Some(Some(ServingStatus::ServiceUnknown)));
        for health in [DatabaseState::Unavailable, DatabaseState::Unavailable] {
            world.database.send_replace(health);
            world.settle().await;
        }
        assert_eq!(chat(), Some(Some(ServingStatus::NotServing)));
        assert_eq!((chat(), unknown()), (None, None), "told again");
        world.draining.cancel();
        world.settle().await;
        assert_eq!((chat(), unknown()), (Some(None), Some(None)), "told again, or it goes on");
    }
}
