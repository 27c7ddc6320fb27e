//! What can be broken, and how.

use std::time::Duration;

use netrox_harness::{Engine, Role, proxy::Network};

use super::CORES;

/// What a fault hits; two at once hit different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Postgres,
    Nats,
    /// The way of a core to an engine.
    Way(Role, Engine),
    Process(Role),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kill,
    /// SIGTERM; of PostgreSQL, an immediate stop.
    Stop,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// Killed, and another with empty hands in its place.
    Replace,
    Network(Network),
    Reset,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) victim: Victim,
    pub(super) kind: Kind,
}

impl Fault {
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |victim, kinds: &[Kind]| {
            all.extend(kinds.iter().map(|kind| Self { victim, kind: *kind }));
        };
        let networks = [
            Kind::Network(Network::BlackHole),
            Kind::Network(Network::Refused),
            Kind::Network(Network::Delayed(Duration::from_millis(50))),
            Kind::Reset,
        ];
        add(Victim::Postgres, &[Kind::Kill, Kind::Stop, Kind::Pause]);
        add(Victim::Nats, &[Kind::Kill, Kind::Pause]);
        for index in 0..CORES {
            let core = Role::Core(index);
            add(Victim::Process(core), &[Kind::Kill, Kind::Stop, Kind::Pause, Kind::Replace]);
            add(Victim::Process(Role::Edge(index)), &[Kind::Kill, Kind::Stop]);
            add(Victim::Way(core, Engine::Postgres), &networks);
            add(Victim::Way(core, Engine::Nats), &networks);
        }
        all
    }

    /// Whether it lasts for as long as one likes: everything else takes as long to come back as it takes.
    pub(super) fn ends_when_told(&self) -> bool {
        matches!(self.kind, Kind::Pause | Kind::Network(_))
    }

    pub(super) fn name(&self) -> String {
        let victim = match self.victim {
            Victim::Postgres => "PostgreSQL",
            Victim::Nats => "NATS",
            Victim::Way(_, Engine::Postgres) => "core to PostgreSQL",
            Victim::Way(_, Engine::Nats) => "core to NATS",
            Victim::Process(Role::Edge(_)) => "edge",
            Victim::Process(_) => "core",
        };
        let kind = match self.kind {
            Kind::Kill => "SIGKILL",
            Kind::Stop if self.victim == Victim::Postgres => "stop -m immediate",
            Kind::Stop => "SIGTERM",
            Kind::Pause => "SIGSTOP",
            Kind::Replace => "replaced",
            Kind::Network(Network::BlackHole) => "black hole",
            Kind::Network(Network::Refused) => "refused",
            Kind::Network(_) => "delayed",
            Kind::Reset => "reset",
        };
        format!("{victim}: {kind}")
    }
}
