//! Deployments, and the ways of the cores of a cluster to their database.

use netrox_harness::{
    Arrangement, Builder, Engine, Role, TestChat, engine::PostgresServer, proxy::Proxy,
};

/// Of a deployment whose sockets wait to be read: a test on a busy machine comes to each in its time. A
/// user has many of them.
pub(super) fn builder(arrangement: Arrangement) -> Builder {
    TestChat::builder(arrangement)
        .set("ping-interval", "10m")
        .set("max-connections-per-user", "100")
}

/// A cluster whose two cores each have a way of their own to a server of the test's own.
pub(super) fn behind_proxies(postgres: &PostgresServer) -> (Builder, [Proxy; 2]) {
    let ways = [(); 2].map(|()| Proxy::start(postgres.address()));
    let builder = builder(Arrangement::Cluster).engine(Engine::Postgres, postgres.server());
    let builder = ways.iter().enumerate().fold(builder, |builder, (core, way)| {
        builder.route(Role::Core(core), Engine::Postgres, way.address())
    });
    (builder, ways)
}
