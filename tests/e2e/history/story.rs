//! What every database that goes back is held to: messages that are kept, messages that are lost, the database goes
//! back, and more messages.

use netrox_harness::{Edge, Role, TestChat};
use tonic::Status;

use super::{
    again::Way, bookmark::Bookmark, crowd::Crowd, device::Anew, stream::assert_lost,
    witness::Witness,
};

const BEFORE: usize = 10;
const AFTER: usize = 30;

/// The story up to what is kept.
pub(super) struct Story {
    crowd: Crowd,
    /// Behind it.
    good: Bookmark,
}

impl Story {
    pub(super) async fn begin(chat: &TestChat) -> Self {
        let mut crowd = Crowd::gather(chat).await;
        crowd.send_all(chat, chat.core_role(), "before", BEFORE).await;
        crowd.all_shown().await;
        let good = crowd.bookmark(chat).await;
        Self { crowd, good }
    }

    /// So many more to Bob, which everybody is shown, and which get lost; with them a user, where there are any.
    pub(super) async fn lose(self, chat: &TestChat, count: usize) -> Lossy {
        let (Self { mut crowd, good }, core) = (self, chat.core_role());
        let kept = crowd.counts();
        if count > 0 {
            crowd.send_to_bob(chat, core, "lost", count).await;
            crowd.eve_joins(chat, core).await;
        }
        let last = crowd.bookmark(chat).await;
        Lossy { crowd, good, kept, last }
    }
}

/// The story up to what is lost.
pub(super) struct Lossy {
    crowd: Crowd,
    good: Bookmark,
    /// How many messages each reader keeps.
    kept: Vec<usize>,
    /// Behind what is lost.
    last: Bookmark,
}

impl Lossy {
    /// The database has gone back, and the first core is back on it: more is sent at once. Clients come back by `edge`.
    pub(super) async fn go_on(self, chat: &TestChat, edge: Edge) -> End {
        let (Self { mut crowd, good, kept, last }, core) = (self, chat.core_role());
        crowd.go_back(&kept);
        let lost = crowd.bob_lost();
        let early = crowd.resume(chat, core, &last).await;
        let mut anew = None;
        if lost {
            crowd.devices_are_reset(&[edge], &last).await;
            anew = Some(crowd.begins_anew(edge, &last).await);
        }
        crowd.eve_is_known(chat).await;
        crowd.send_again(chat, Way::Service(core)).await;
        crowd.send_all(chat, core, "after", AFTER).await;
        End { crowd, good, kept, last, lost, early, anew }
    }
}

/// The story up to what everybody has to be shown.
pub(super) struct End {
    crowd: Crowd,
    good: Bookmark,
    kept: Vec<usize>,
    last: Bookmark,
    /// Whether anything was.
    lost: bool,
    /// A subscription at the last position, before anything new was stored.
    early: Result<Witness, Status>,
    /// A device that came back with it then, if it was lost.
    anew: Option<Anew>,
}

impl End {
    /// More is sent on another core.
    pub(super) async fn send_on(&mut self, chat: &TestChat, core: Role) {
        self.crowd.send_all(chat, core, "from another core", 5).await;
    }

    /// What came after what was kept may get lost next.
    pub(super) async fn verify(self, chat: &TestChat) -> Lossy {
        let Self { mut crowd, good, kept, last, lost, early, anew } = self;
        let edges = chat.edges();
        chat.ready().await;
        crowd.send_again(chat, Way::Socket(edges[0])).await;
        crowd.send_again(chat, Way::Rest(edges[edges.len() - 1])).await;
        crowd.all_shown().await;
        crowd.newcomers_are_shown_everything(chat, chat.core_role()).await;
        crowd.histories_are_whole(chat).await;
        let mut resumed = vec![early];
        for core in chat.core_roles() {
            crowd.goes_on(crowd.resume(chat, core, &good).await, &good).await;
            resumed.push(crowd.resume(chat, core, &last).await);
        }
        crowd.devices_go_on(chat, &good).await;
        if lost {
            crowd.devices_are_reset(&edges, &last).await;
            let late = crowd.begins_anew(edges[0], &last).await;
            for anew in anew.into_iter().chain([late]) {
                crowd.has_everything(chat, anew).await;
            }
        } else {
            crowd.devices_go_on(chat, &last).await;
        }
        for resumed in resumed {
            if lost {
                let Err(refused) = resumed else { panic!("a lost position was taken: {last:?}") };
                assert_lost(&refused);
            } else {
                crowd.goes_on(resumed, &last).await;
            }
        }
        good.names_its_history();
        crowd.watch(chat).await;
        let last = crowd.bookmark(chat).await;
        Lossy { crowd, good, kept, last }
    }
}
