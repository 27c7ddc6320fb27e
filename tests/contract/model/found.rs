//! What is found by its words: what its user sees, whatever became of it. So are the files that links open.

use netrox_proto::v1::ErrorReason;
use proptest::{prelude::*, test_runner::TestCaseError};

use super::{USERS, World, calls::reason, rules::Model};

/// Words of what is written, the last as the beginning of one.
const QUERIES: [&str; 6] = ["text", "text 1", "together", "edited", "edited 1", "file"];

impl Model {
    /// The newest first.
    fn found(&self, user: usize, query: &str) -> Vec<i64> {
        let finds = |text: &str| {
            let words: Vec<_> = text.split(' ').collect();
            query.split(' ').all(|wanted| words.iter().any(|word| word.starts_with(wanted)))
        };
        let visible = self.messages.iter().filter(|it| it.is_visible_to(user) && !it.is_deleted);
        let mut ids: Vec<_> =
            visible.filter(|it| finds(it.body_for(user))).map(|it| it.id).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids
    }
}

impl World {
    /// On one core after the other.
    pub(super) async fn check_found(&mut self, user: usize) -> Result<(), TestCaseError> {
        for query in QUERIES {
            self.acted += 1;
            let found = self.core().found(&self.users[user], query).await;
            prop_assert_eq!(found, self.model.found(user, query), "{} by {}", query, user);
        }
        Ok(())
    }

    /// A link is had by whoever sees the file, and is good as long as they do, for every core.
    pub(super) async fn check_links(&mut self) -> Result<(), TestCaseError> {
        for it in self.model.messages.iter().filter(|it| it.is_file) {
            let (path, of_sender) = &self.files[&it.id];
            for user in 0..USERS {
                self.acted += 1;
                let core = &self.connections[self.acted % self.connections.len()];
                let next = &self.connections[(self.acted + 1) % self.connections.len()];
                let is_seen = it.is_visible_to(user) && !it.is_deleted;
                let expected = (!is_seen).then_some(ErrorReason::AttachmentNotFound);
                let link = core.link(&self.users[user], path).await;
                prop_assert_eq!(link.as_ref().err().and_then(reason), expected, "{:?}", it);
                if let Ok(link) = link {
                    let redeemed = next.redeem(&link, Some(path)).await.expect("a good link");
                    prop_assert_eq!(&redeemed.user_id, &self.users[user]);
                }
                if user == it.sender {
                    let redeemed = next.redeem(of_sender, Some(path)).await;
                    let refused = redeemed.as_ref().err().and_then(reason);
                    prop_assert_eq!(refused, expected, "{:?}", it);
                }
            }
        }
        Ok(())
    }
}
