//! A message of the model, and who knows what of it.

use super::USERS;

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) sender: usize,
    pub(super) receiver: usize,
    pub(super) body: String,
    /// What its receiver goes on to see, if that is something else.
    pub(super) receiver_body: Option<String>,
    pub(super) is_file: bool,
    /// Not a file that waits for its dispatch.
    pub(super) is_sent: bool,
    /// By a block, for good.
    pub(super) is_swallowed: bool,
    pub(super) is_deleted: bool,
    pub(super) hidden: [bool; USERS],
}

impl Stored {
    pub(super) fn is_of(&self, user: usize) -> bool {
        user == self.sender || user == self.receiver
    }

    /// Whether it was ever visible to the user.
    pub(super) fn is_known_to(&self, user: usize) -> bool {
        let reaches_receiver = self.is_sent && !self.is_swallowed;
        user == self.sender || user == self.receiver && reaches_receiver
    }

    /// As it stands, for one of its two users.
    pub(super) fn body_for(&self, user: usize) -> &str {
        let of_receiver = self.receiver_body.as_deref().filter(|_| user == self.receiver);
        if self.is_deleted { "" } else { of_receiver.unwrap_or(&self.body) }
    }

    pub(super) fn is_visible_to(&self, user: usize) -> bool {
        self.is_known_to(user) && !self.hidden[user]
    }

    pub(super) fn is_between(&self, one: usize, two: usize) -> bool {
        self.is_of(one) && self.is_of(two)
    }
}

pub(super) fn stored(
    id: i64,
    sender: usize,
    receiver: usize,
    body: String,
    is_file: bool,
) -> Stored {
    let hidden = [false; USERS];
    Stored {
        id,
        sender,
        receiver,
        body,
        receiver_body: None,
        is_file,
        is_sent: !is_file,
        is_swallowed: false,
        is_deleted: false,
        hidden,
    }
}
