//! Threads as a batch knows them: their ends, and how far their users got.

use sqlx::FromRow;

use crate::store::{message::MessageRow, user::UserKey};

/// The two users of a thread, the lower key first.
pub(crate) type Pair = (UserKey, UserKey);

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct ThreadState {
    pub(crate) id: i64,
    pub(crate) low_key: UserKey,
    pub(crate) high_key: UserKey,
    /// Who wrote first.
    pub(crate) user_one: UserKey,
    pub(crate) last_activity: i64,
    /// The newest message that was not swallowed, if it was noted; so too of each side.
    pub(crate) last_message: Option<i64>,
    pub(crate) low_sent: Option<i64>,
    pub(crate) low_shown: Option<i64>,
    pub(crate) high_sent: Option<i64>,
    pub(crate) high_shown: Option<i64>,
    /// The newest message of each side that was swallowed, if one was.
    pub(crate) low_swallowed: Option<i64>,
    pub(crate) high_swallowed: Option<i64>,
    /// How it began for the one who did not write first, if that is not how it began.
    pub(crate) late_created: Option<i64>,
    pub(crate) late_one: Option<UserKey>,
}

impl ThreadState {
    /// One without messages.
    pub(crate) fn new(id: i64, (low_key, high_key): Pair, user_one: UserKey, created: i64) -> Self {
        let none = Some(0);
        Self {
            id,
            low_key,
            high_key,
            user_one,
            last_activity: created,
            last_message: none,
            low_sent: none,
            low_shown: none,
            high_sent: none,
            high_shown: none,
            low_swallowed: None,
            high_swallowed: None,
            late_created: None,
            late_one: None,
        }
    }

    pub(crate) fn pair(&self) -> Pair {
        (self.low_key, self.high_key)
    }

    /// Whether its newest message is of this user, as far as is known.
    pub(crate) fn is_turn_of(&self, user: UserKey) -> bool {
        let Some(last) = self.last_message else { return false };
        let last = last.max(self.low_swallowed.max(self.high_swallowed).unwrap_or_default());
        let (sent, swallowed) = if user == self.low_key {
            (self.low_sent, self.low_swallowed)
        } else {
            (self.high_sent, self.high_swallowed)
        };
        last > 0 && (Some(last) == sent || Some(last) == swallowed)
    }

    /// Whether the next message is the first that is there for the one who did not write first, all before it having been
    /// swallowed.
    pub(crate) fn begins_late(&self, sender: UserKey, reaches_receiver: bool) -> bool {
        let (of_one, of_other) = if self.user_one == self.low_key {
            (self.low_swallowed, self.high_swallowed)
        } else {
            (self.high_swallowed, self.low_swallowed)
        };
        let has_nothing = self.last_message == Some(0) && of_other.is_none();
        let is_there = sender != self.user_one || reaches_receiver;
        of_one.is_some() && has_nothing && self.late_created.is_none() && is_there
    }

    /// Notes a message that the user has sent, and that its receiver never sees.
    pub(crate) fn swallowed(&mut self, user: UserKey, id: i64) {
        let swallowed =
            if user == self.low_key { &mut self.low_swallowed } else { &mut self.high_swallowed };
        *swallowed = (*swallowed).max(Some(id));
    }

    /// Whether it is noted what each side sent last.
    pub(crate) fn knows_ends(&self) -> bool {
        self.last_message.is_some() && self.low_sent.is_some() && self.high_sent.is_some()
    }

    /// Forgets what was noted of the newest messages, which are to be looked up.
    pub(crate) fn forget_ends(&mut self) {
        self.last_message = None;
        (self.low_sent, self.low_shown) = (None, None);
        (self.high_sent, self.high_shown) = (None, None);
    }

    /// Notes a message that the user has sent; one with a file is not shown yet.
    pub(crate) fn sent(&mut self, user: UserKey, id: i64, is_shown: bool) {
        let (sent, shown) = if user == self.low_key {
            (&mut self.low_sent, &mut self.low_shown)
        } else {
            (&mut self.high_sent, &mut self.high_shown)
        };
        *sent = Some(id);
        if is_shown {
            *shown = Some(id);
        }
        self.last_message = Some(id);
    }

    /// Notes that the other one is shown a message of the user's.
    pub(crate) fn shown(&mut self, user: UserKey, id: i64) {
        let shown = if user == self.low_key { &mut self.low_shown } else { &mut self.high_shown };
        *shown = shown.map(|shown| shown.max(id));
    }
}

/// A message that a new one answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct ReplyTarget {
    pub(crate) id: i64,
    pub(crate) sender: UserKey,
    pub(crate) receiver: UserKey,
    is_shown: bool,
    hidden_for_sender: bool,
    hidden_for_receiver: bool,
}

impl ReplyTarget {
    pub(crate) fn of(message: &MessageRow) -> Self {
        Self {
            id: message.id,
            sender: message.sender,
            receiver: message.receiver,
            is_shown: message.receiver_seq.is_some(),
            hidden_for_sender: message.hidden_for_sender,
            hidden_for_receiver: message.hidden_for_receiver,
        }
    }

    /// Whether a user who sends to another may name it.
    pub(crate) fn is_visible_between(&self, user: UserKey, peer: UserKey) -> bool {
        let of_user = (self.sender, self.receiver) == (user, peer) && !self.hidden_for_sender;
        let of_peer = (self.sender, self.receiver) == (peer, user)
            && self.is_shown
            && !self.hidden_for_receiver;
        of_user || of_peer
    }
}

/// How far the two users of a thread got in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadProgress {
    pub(crate) thread_id: i64,
    pub(crate) low_key: UserKey,
    pub(crate) low: Progress,
    pub(crate) high: Progress,
}

/// How far one of them did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The greatest id that was ever visible to the user.
    pub(crate) last_id: i64,
    pub(crate) seen_id: i64,
    pub(crate) delivered_id: i64,
    /// What the peer is shown of these two, if that is not all.
    pub(crate) shown: Option<Marks>,
    /// Up to where the peer may have sent something before the batch. `None` once the batch has changed what counts as unread
    /// up to there.
    pub(crate) last_of_peer: Option<i64>,
}

/// How far a user got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) seen_id: i64,
    pub(crate) delivered_id: i64,
}

impl Marks {
    pub(crate) fn of(seen_id: Option<i64>, delivered_id: Option<i64>) -> Option<Self> {
        Some(Self { seen_id: seen_id?, delivered_id: delivered_id? })
    }
}

impl Progress {
    pub(crate) fn marks(&self) -> Marks {
        Marks { seen_id: self.seen_id, delivered_id: self.delivered_id }
    }

    /// As the peer is shown them.
    pub(crate) fn shown_marks(&self) -> Marks {
        self.shown.unwrap_or(self.marks())
    }
}

impl ThreadProgress {
    /// In a thread without messages.
    pub(crate) fn new(thread_id: i64, low_key: UserKey) -> Self {
        let none = Progress { last_of_peer: Some(0), ..Progress::default() };
        Self { thread_id, low_key, low: none, high: none }
    }

    pub(crate) fn of(&mut self, user: UserKey) -> &mut Progress {
        if user == self.low_key { &mut self.low } else { &mut self.high }
    }
}

/// The same as it is read.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct ThreadProgressRow {
    pub(super) id: i64,
    pub(super) low_key: UserKey,
    pub(super) high_key: UserKey,
    pub(super) low_last_id: i64,
    /// Of the newest message, if it was noted; so too of the other.
    pub(super) low_sent: Option<i64>,
    pub(super) high_sent: Option<i64>,
    pub(super) low_swallowed: Option<i64>,
    pub(super) high_swallowed: Option<i64>,
    pub(super) low_seen_id: i64,
    pub(super) low_delivered_id: i64,
    pub(super) low_shown_seen_id: Option<i64>,
    pub(super) low_shown_delivered_id: Option<i64>,
    pub(super) high_last_id: i64,
    pub(super) high_seen_id: i64,
    pub(super) high_delivered_id: i64,
    pub(super) high_shown_seen_id: Option<i64>,
    pub(super) high_shown_delivered_id: Option<i64>,
}

/// Of pairs `j`, the lower key first.
macro_rules! progress {
    ($pairs:literal, $low:literal, $high:literal) => {
        concat!(
            "select t.id, t.low_key, t.high_key, ",
            progress!(@last "low_sent", "high_sent", "high_shown", "low_key"),
            " as low_last_id, ",
            progress!(@last "high_sent", "low_sent", "low_shown", "high_key"),
            " as high_last_id, case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) then t.low_sent end as low_sent,
            case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) then t.high_sent end as high_sent,
            t.low_swallowed, t.high_swallowed,
            l.shown_seen_id as low_shown_seen_id, l.shown_delivered_id as low_shown_delivered_id,
            h.shown_seen_id as high_shown_seen_id, h.shown_delivered_id as high_shown_delivered_id,
            coalesce(l.seen_id, 0) as low_seen_id,
            coalesce(l.delivered_id, 0) as low_delivered_id, coalesce(h.seen_id, 0) as high_seen_id,
            coalesce(h.delivered_id, 0) as high_delivered_id
            from ",
            $pairs,
            " join threads t on t.low_key = ",
            $low,
            " and t.high_key = ",
            $high,
            " left join thread_states l on l.user_key = t.low_key and l.thread_id = t.id
            left join thread_states h on h.user_key = t.high_key and h.thread_id = t.id"
        )
    };
    (@last $own_sent:literal, $peer_sent:literal, $peer_shown:literal, $own_key:literal) => {
        concat!(
            "coalesce(case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) and t.",
            $peer_sent,
            " = t.",
            $peer_shown,
            " then case when t.",
            $own_sent,
            " > t.",
            $peer_shown,
            " then t.",
            $own_sent,
            " when t.",
            $own_sent,
            " <= t.",
            $peer_shown,
            " then t.",
            $peer_shown,
            " end end, (select m.id from messages m where m.thread_id = t.id
                and (m.sender = t.",
            $own_key,
            " or m.receiver_seq is not null) and m.id <= coalesce(
                    case when t.last_message_at = t.last_activity then t.last_message end,
                    9223372036854775807) order by m.id desc limit 1), 0)"
        )
    };
}
pub(super) use progress;

/// The columns of [`ThreadState`]. What each side sent was not noted by a core of before, which notes the newest message alone.
macro_rules! thread_columns {
    () => {
        "t.id, t.low_key, t.high_key, t.user_one, t.last_activity, t.low_swallowed, t.high_swallowed,
            t.late_created, t.late_one,
            case when t.last_message_at = t.last_activity then t.last_message end as last_message,
            case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) then t.low_sent end as low_sent,
            case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) then t.low_shown end as low_shown,
            case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) then t.high_sent end as high_sent,
            case when t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent) then t.high_shown end as high_shown"
    };
}
pub(super) use thread_columns;

/// The columns of [`ReplyTarget`].
macro_rules! reply_target_columns {
    () => {
        "id, sender, receiver, receiver_seq is not null as is_shown,
            hidden_for_sender is not null as hidden_for_sender,
            hidden_for_receiver is not null as hidden_for_receiver"
    };
}
pub(super) use reply_target_columns;

/// Notes the newest messages of threads by looking them up, when all messages of the batch are in. First those of each side, then
/// the newer of both.
macro_rules! look_ends_up {
    (sides $update:literal, $ids:expr) => {
        concat!(
            $update,
            " threads set low_sent = ",
            look_ends_up!(@newest "low_key", ""),
            ", low_shown = ",
            look_ends_up!(@newest "low_key", " and m.receiver_seq is not null"),
            ", high_sent = ",
            look_ends_up!(@newest "high_key", ""),
            ", high_shown = ",
            look_ends_up!(@newest "high_key", " and m.receiver_seq is not null"),
            " where id in (",
            $ids,
            ")"
        )
    };
    (last $update:literal, $ids:expr) => {
        concat!(
            $update,
            " threads set last_message_at = last_activity,
                last_message = case when low_sent > high_sent then low_sent else high_sent end
            where id in (",
            $ids,
            ")"
        )
    };
    (@newest $side:literal, $more:literal) => {
        concat!(
            "coalesce((select m.id from messages m where m.thread_id = threads.id
                and m.sender = threads.",
            $side,
            " and (m.receiver_seq is not null or m.hidden_for_receiver is null)",
            $more,
            " order by m.id desc limit 1), 0)"
        )
    };
}
pub(in crate::store) use look_ends_up;
