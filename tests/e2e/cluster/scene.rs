//! A cluster under load whose engines can be broken.

use std::collections::BTreeMap;

use netrox_harness::{
    Arrangement, Builder, Engine, Role, TestChat,
    engine::{NatsServer, PostgresServer},
    proxy::Proxy,
};
use serde_json::Value;

use crate::flow::{Flow, Mark, seed};

/// Messages that have to get through between faults.
const STEADY: usize = 200;

/// Engines of a test's own, and the way of each core to each of them.
pub(super) struct Engines {
    pub(super) postgres: PostgresServer,
    pub(super) nats: NatsServer,
    pub(super) proxies: BTreeMap<(Role, Engine), Proxy>,
}

impl Engines {
    pub(super) async fn start(cores: usize) -> Self {
        let (postgres, nats) = tokio::join!(PostgresServer::start(), NatsServer::start());
        let mut proxies = BTreeMap::new();
        for core in (0..cores).map(Role::Core) {
            proxies.insert((core, Engine::Postgres), Proxy::start(postgres.address()));
            proxies.insert((core, Engine::Nats), Proxy::start(nats.address()));
        }
        Self { postgres, nats, proxies }
    }

    /// Puts a cluster on them.
    pub(super) fn join(&self, builder: Builder) -> Builder {
        let builder = builder
            .engine(Engine::Postgres, self.postgres.server())
            .engine(Engine::Nats, self.nats.server());
        self.proxies.iter().fold(builder, |builder, ((core, engine), proxy)| {
            builder.route(*core, *engine, proxy.address())
        })
    }
}

/// A cluster on engines of its own, under the load of clients that are to keep their connections.
///
/// Fields are dropped in this order: clients first, engines last.
pub(super) struct Scene {
    pub(super) flow: Flow,
    chat: TestChat,
    pub(super) engines: Engines,
}

impl Scene {
    pub(super) async fn start() -> Self {
        Self::start_with(builder()).await
    }

    /// One in which nothing waits for what is away: sends are refused at once.
    pub(super) async fn start_without_waits() -> Self {
        Self::start_with(builder().set("store-wait", "0")).await
    }

    async fn start_with(builder: Builder) -> Self {
        let engines = Engines::start(2).await;
        let chat = engines.join(builder).start().await;
        let mut flow = Flow::start(&chat, &chat.edges(), true, seed()).await;
        flow.progress(STEADY).await;
        Self { flow, chat, engines }
    }

    pub(super) fn proxy(&self, core: Role, engine: Engine) -> &Proxy {
        &self.engines.proxies[&(core, engine)]
    }

    /// Waits until everything works again, and then for some quiet traffic.
    pub(super) async fn recovered(&mut self, after: &str) {
        let mark = self.flow.mark();
        recovered(&mut self.flow, &mark, after).await;
    }

    /// Waits until sends are refused.
    pub(super) async fn refuses(&mut self) {
        let (before, _) = self.flow.refusals();
        netrox_harness::eventually("a refusal", async || {
            (self.flow.refusals().0 > before).then_some(())
        })
        .await;
    }

    /// Waits until a core has found that it cannot write. Counts once for each core.
    pub(super) async fn notices_without_database(&self, core: Role) {
        let notices =
            |event: &Value| (event["message"] == "the database does not take writes").then_some(());
        self.chat.log(core).event("a core that cannot write", notices).await;
    }

    /// Holds all that clients were shown against what is stored.
    pub(super) async fn verify(&mut self) {
        self.flow.verify_live(&self.chat).await;
        let (refused, slowest) = self.flow.refusals();
        eprintln!("{refused} sends refused, the slowest after {slowest:?}");
        self.flow.verify(&self.chat).await;
    }
}

/// A cluster without a limit on sends.
pub(super) fn builder() -> Builder {
    TestChat::builder(Arrangement::Cluster).set("send-rate", "0")
}

/// Waits until messages get through that were sent after the mark, everybody's and to everybody, and then
/// for some quiet traffic. How long that may take is held where nothing else has the machine, by the chaos run.
pub(super) async fn recovered(flow: &mut Flow, mark: &Mark, after: &str) {
    let took = flow.through(mark).await;
    eprintln!("recovered from {after} after {took:?}");
    flow.progress(STEADY).await;
}
