//! A user who is written to, and whoever watches what they are shown.

use netrox_harness::{TestChat, User};
use serde_json::Value;

use super::{
    book::Book,
    device::Device,
    stream::{Position, Stream},
    witness::{Fate, Witness},
};

/// Whether a reader writes to others as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    Never,
    /// Places of this reader's feed belong to what they wrote, which only devices are shown.
    Too,
}

pub(super) struct Reader {
    pub(super) user: User,
    pub(super) author: User,
    writes: Writes,
    /// What the history has, in order.
    pub(super) stored: Vec<i64>,
    /// The end of it, which no witness was asked for yet.
    pending: Vec<i64>,
    /// The same, with what this reader wrote.
    pending_of_both: Vec<i64>,
    /// Whether the database has gone back behind what this reader was shown.
    lost: bool,
    witnesses: Vec<Witness>,
}

impl Reader {
    pub(super) fn new(user: &User, author: &User, writes: Writes) -> Self {
        let (user, author) = (user.clone(), author.clone());
        Self {
            user,
            author,
            writes,
            stored: Vec::new(),
            pending: Vec::new(),
            pending_of_both: Vec::new(),
            lost: false,
            witnesses: Vec::new(),
        }
    }

    /// From now on there are a socket of each generation on every edge and streams on every core, in place of those before.
    pub(super) async fn watch(&mut self, chat: &TestChat) {
        assert!(self.pending.is_empty(), "nobody was asked for what is pending");
        self.lost = false;
        self.witnesses.clear();
        let Self { user, .. } = self;
        for (index, edge) in chat.edges().iter().enumerate() {
            let name = format!("{}, a socket of edge {index}", user.email);
            self.witnesses.push(Witness::socket(name, edge.connect(user).await));
            let name = format!("{}, a device at edge {index}", user.email);
            self.witnesses.push(Witness::device(name, Device::open(*edge, user).await));
        }
        for core in chat.core_roles() {
            for received_only in [false, true] {
                if self.writes == Writes::Too && !received_only {
                    continue;
                }
                let service = chat.chat_service_of(core);
                let stream = Stream::open(service, &user.id, received_only).await;
                let name = format!("{}, a stream of {core:?}, {received_only}", user.email);
                self.witnesses.push(Witness::stream(name, stream));
            }
        }
    }

    pub(super) fn push(&mut self, id: i64) {
        self.stored.push(id);
        self.pending.push(id);
        self.pending_of_both.push(id);
    }

    /// What this reader wrote.
    pub(super) fn push_written(&mut self, id: i64) {
        self.pending_of_both.push(id);
    }

    /// Only so many messages are left.
    pub(super) fn truncate(&mut self, count: usize) {
        assert!(self.pending.is_empty(), "nobody was asked for what is pending");
        self.lost = count < self.stored.len();
        self.stored.truncate(count);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Each witness is shown what is pending, or is told that it cannot be, where that is so. `others_lost`: whether
    /// the database has gone back at all. Whoever was told watches no more.
    pub(super) async fn follow(&mut self, book: &Book, others_lost: bool) {
        let fates = match (self.lost, self.writes) {
            (true, _) => &[Fate::Ends][..],
            // What the reader wrote was lost; what they were shown last may lie before it.
            (false, Writes::Too) if others_lost => &[Fate::Ends, Fate::Stays][..],
            (false, _) => &[Fate::Stays][..],
        };
        let writes_too = self.writes == Writes::Too;
        let fates_of_devices =
            if self.lost || writes_too && others_lost { &[Fate::Ends] } else { &[Fate::Stays] };
        let pending = std::mem::take(&mut self.pending);
        let pending_of_both = std::mem::take(&mut self.pending_of_both);
        for mut witness in std::mem::take(&mut self.witnesses) {
            let (fates, pending) = match witness.as_device() {
                Some(_) => (&fates_of_devices[..], &pending_of_both),
                None => (fates, &pending),
            };
            let fate = witness.follow(book, pending).await;
            assert!(fates.contains(&fate), "{}: {fate:?}, and not {fates:?}", witness.name);
            if fate == Fate::Stays {
                self.witnesses.push(witness);
            }
        }
    }

    /// Where streams are; all of them are at the same place. Which history a place belongs to may have been said by one
    /// core some time ago, and by another just now.
    pub(super) fn position(&self) -> Position {
        let mut positions = self.witnesses.iter().filter_map(Witness::position);
        let first = positions.next().expect("a stream");
        let last = positions.next_back().expect("another stream");
        assert_eq!(first.seq, last.seq, "two streams of one feed");
        last
    }

    /// Those that were told nothing of a loss.
    pub(super) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.witnesses.iter().filter_map(Witness::as_device)
    }

    /// Every edge shows what is stored, and nothing else.
    pub(super) async fn history_is_whole(&self, chat: &TestChat, book: &Book) {
        let due: Vec<_> = self.stored.iter().map(|id| (*id, book.text(*id).to_owned())).collect();
        let id = |message: &Value| message["id"].as_i64().expect("an id");
        let text = |message: &Value| message["message"].as_str().expect("a text").to_owned();
        for edge in chat.edges() {
            let history = edge.history(&self.user, &self.author).await;
            let shown: Vec<_> = history.iter().map(|one| (id(one), text(one))).collect();
            assert_eq!(shown, due, "what {} is shown over REST", self.user.email);
        }
    }
}
