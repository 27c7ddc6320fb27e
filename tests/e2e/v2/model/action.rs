//! What devices, networks and processes do.

use proptest::{prelude::*, sample::Index};

use super::wire::Break;

pub(super) const USERS: usize = 4;
pub(super) const DEVICES: usize = 3;
/// One more, who has written to all, does nothing else, and is blocked by nobody: whoever is shown that this user types was shown
/// what others did before.
pub(super) const FENCE: usize = USERS;

/// Devices are counted over all users.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Another device of the user may have the same in its outbox.
    Send {
        device: usize,
        to: usize,
        reply_to: Option<Index>,
        also_on: Option<usize>,
    },
    /// What is stored already is sent again, with another text.
    Repeat {
        send: Index,
        device: usize,
        is_by_rest: bool,
    },
    Edit {
        device: usize,
        message: Index,
    },
    Delete {
        device: usize,
        message: Index,
        is_for_everyone: bool,
    },
    Mark {
        device: usize,
        message: Index,
        is_seen: bool,
    },
    /// Or unblock.
    Block {
        device: usize,
        peer: usize,
        blocks: bool,
    },
    Break {
        device: usize,
        breaks: Break,
    },
    /// Nothing is read any more, and the server is not told.
    Vanish {
        device: usize,
    },
    Connect {
        device: usize,
        from: From,
        breaks: Option<Break>,
        frames: Option<usize>,
        /// In the place of a token.
        has_ticket: bool,
    },
    Type {
        device: usize,
        peer: usize,
        typing: bool,
    },
    /// Or no longer.
    Hide {
        device: usize,
        hides: bool,
    },
    /// Some of the others, a bit each.
    Watch {
        device: usize,
        peers: u8,
    },
    Search {
        device: usize,
    },
    /// Reads the feed by REST.
    Sync {
        device: usize,
        limit: usize,
        pages: usize,
    },
    Snapshot {
        device: usize,
        limit: usize,
    },
    SayDocumented {
        to: usize,
    },
    /// SIGKILL to a core, which is started again at once.
    Kill {
        core: Index,
    },
}

/// Which cursor a device comes back with.
#[derive(Debug, Clone)]
pub(super) enum From {
    Stored,
    /// One that it had before, what it holds being newer.
    Older(Index),
    /// All that it held once, as after a restored backup.
    Backup(Index),
}

fn breaks() -> impl Strategy<Value = Break> {
    (any::<bool>(), 0..1500_usize).prop_map(|(is_upwards, after)| Break { is_upwards, after })
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        6 => Just(From::Stored),
        2 => any::<Index>().prop_map(From::Older),
        1 => any::<Index>().prop_map(From::Backup),
    ]
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let device = || 0..USERS * DEVICES;
    let message = any::<Index>;
    let maybe_index = || proptest::option::weighted(0.2, message());
    let also_on = proptest::option::weighted(0.2, 1..DEVICES);
    let connect = (
        device(),
        from(),
        proptest::option::weighted(0.3, breaks()),
        proptest::option::weighted(0.3, 0..6_usize),
        proptest::bool::weighted(0.2),
    );
    prop_oneof![
        12 => (device(), 1..USERS, maybe_index(), also_on)
            .prop_map(|(device, to, reply_to, also_on)| Action::Send { device, to, reply_to, also_on }),
        2 => (message(), device(), any::<bool>())
            .prop_map(|(send, device, is_by_rest)| Action::Repeat { send, device, is_by_rest }),
        4 => (device(), message()).prop_map(|(device, message)| Action::Edit { device, message }),
        4 => (device(), message(), any::<bool>()).prop_map(|(device, message, is_for_everyone)| {
            Action::Delete { device, message, is_for_everyone }
        }),
        6 => (device(), message(), any::<bool>())
            .prop_map(|(device, message, is_seen)| Action::Mark { device, message, is_seen }),
        3 => (device(), 1..USERS, proptest::bool::weighted(0.6))
            .prop_map(|(device, peer, blocks)| Action::Block { device, peer, blocks }),
        5 => (device(), breaks()).prop_map(|(device, breaks)| Action::Break { device, breaks }),
        1 => device().prop_map(|device| Action::Vanish { device }),
        9 => connect.prop_map(|(device, from, breaks, frames, has_ticket)| {
            Action::Connect { device, from, breaks, frames, has_ticket }
        }),
        4 => (device(), 1..USERS, any::<bool>())
            .prop_map(|(device, peer, typing)| Action::Type { device, peer, typing }),
        1 => (device(), proptest::bool::weighted(0.3))
            .prop_map(|(device, hides)| Action::Hide { device, hides }),
        3 => (device(), any::<u8>()).prop_map(|(device, peers)| Action::Watch { device, peers }),
        2 => device().prop_map(|device| Action::Search { device }),
        2 => (device(), 1..6_usize, 1..4_usize)
            .prop_map(|(device, limit, pages)| Action::Sync { device, limit, pages }),
        1 => (device(), 1..6_usize)
            .prop_map(|(device, limit)| Action::Snapshot { device, limit }),
        2 => (1..USERS).prop_map(|to| Action::SayDocumented { to }),
        1 => message().prop_map(|core| Action::Kill { core }),
    ]
}
