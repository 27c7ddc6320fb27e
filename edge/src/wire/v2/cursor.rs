//! A place in one user's feed, and the history of the database that it belongs to.

use netrox_proto::ids::UserId;

/// Longer ones are none of ours.
const MAX_BYTES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) epoch: String,
    pub(crate) seq: u64,
    /// Where the user was last up to date: `seq`, but in a catch-up.
    pub(crate) began: u64,
}

impl Cursor {
    pub(crate) fn encode(&self, user: UserId) -> String {
        let behind = self.seq.saturating_sub(self.began);
        format!("{:x}.{:x}.{:x}.{}", tag(user), self.seq, behind, self.epoch)
    }

    pub(crate) fn parse(text: &str, user: UserId) -> Option<Self> {
        if text.len() >= MAX_BYTES {
            return None;
        }
        let mut parts = text.splitn(4, '.');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (of, seq, behind) = (number()?, number()?, number()?);
        let epoch = parts.next().filter(|epoch| !epoch.is_empty())?;
        let began = seq.checked_sub(behind)?;
        (of == tag(user)).then(|| Self { epoch: epoch.to_owned(), seq, began })
    }
}

fn tag(user: UserId) -> u64 {
    user.0.as_u64_pair().1 & 0xffff_ffff
}
