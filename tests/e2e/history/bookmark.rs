//! Places in what Bob receives, and whoever comes back with one.

use netrox_harness::{Edge, Role, TestChat};
use tonic::Status;

use super::{
    crowd::Crowd,
    device::Anew,
    place::Places,
    reader::Reader,
    stream::{Position, Stream},
    witness::{Fate, Witness},
};

/// A place in what Bob receives.
#[derive(Debug)]
pub(super) struct Bookmark {
    position: Position,
    /// The same, as clients of the second generation have it.
    places: Places,
    /// How many messages are stored before it.
    stored: usize,
}

impl Bookmark {
    /// As the contract says it.
    pub(super) fn names_its_history(&self) {
        let epoch = &self.position.epoch;
        let opaque = |character: char| matches!(character, '0'..='9' | 'a'..='f' | '.');
        let is_name = (1..=40).contains(&epoch.len()) && epoch.chars().all(opaque);
        assert!(is_name, "no name of a history: {epoch:?}");
    }
}

impl Crowd {
    pub(super) async fn bookmark(&self, chat: &TestChat) -> Bookmark {
        let bob = self.bob();
        let places = Places::of(chat.edge(), bob.devices()).await;
        Bookmark { position: bob.position(), places, stored: bob.stored.len() }
    }

    /// A subscription that goes on at a place.
    pub(super) async fn resume(
        &self,
        chat: &TestChat,
        core: Role,
        bookmark: &Bookmark,
    ) -> Result<Witness, Status> {
        let (bob, position) = (&self.bob().user, &bookmark.position);
        let stream = Stream::resume(chat.chat_service_of(core), &bob.id, position).await?;
        Ok(Witness::stream(format!("a stream of {core:?} that goes on at {position:?}"), stream))
    }

    /// A subscription that went on at a place is shown all that is stored behind it.
    pub(super) async fn goes_on(&self, resumed: Result<Witness, Status>, bookmark: &Bookmark) {
        let mut witness = resumed.expect("a position that is good");
        let behind = &self.bob().stored[bookmark.stored..];
        assert_eq!(witness.follow(self.book(), behind).await, Fate::Stays, "{bookmark:?}");
    }

    /// So are clients of the second generation that go on there.
    pub(super) async fn devices_go_on(&self, chat: &TestChat, bookmark: &Bookmark) {
        let Reader { user, stored, .. } = self.bob();
        let behind = stored[bookmark.stored..].iter().map(|id| (*id, self.book().text(*id)));
        bookmark.places.go_on(&chat.edges(), user, &behind.collect::<Vec<_>>()).await;
    }

    /// Clients of the second generation are told that a place is lost.
    pub(super) async fn devices_are_reset(&self, edges: &[Edge], bookmark: &Bookmark) {
        bookmark.places.are_lost(edges, &self.bob().user).await;
    }

    /// A device of Bob's that was told so begins anew.
    pub(super) async fn begins_anew(&self, edge: Edge, bookmark: &Bookmark) -> Anew {
        Anew::open(edge, &self.bob().user, bookmark.places.cursor()).await
    }

    /// It has everything.
    pub(super) async fn has_everything(&self, chat: &TestChat, anew: Anew) {
        let newest = self.bob().stored.last().expect("a message");
        anew.holds_everything(&chat.edges(), *newest).await;
    }
}
