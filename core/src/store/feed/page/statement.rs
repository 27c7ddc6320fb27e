//! What is asked for: the end of a feed, the messages and the threads that have a place behind another.
//!
//! $1 is the user, $2 the start and $3 the place after which it is read, $4 how much at most. The limit is cast so that SQLite
//! does not compile a statement again for each value of it.

/// Where the feed ends, and whether the position is none of its history.
macro_rules! end {
    ($columns:literal, $is_lost:expr, $end:literal) => {
        concat!("select ", $columns, $is_lost, $end, " from feeds f where f.user_key = $1")
    };
}
pub(super) use end;

/// Threads whose state has a place, with what is told of each.
macro_rules! threads {
    ($told:expr, $feeds:literal) => {
        concat!(
            "select s.seq, s.thread_id",
            $told,
            " from thread_states s",
            $feeds,
            " where s.user_key = $1 and s.seq > $3 order by s.seq limit cast($4 as bigint)"
        )
    };
}
pub(super) use threads;

macro_rules! feed_of {
    ($told:expr, $feeds:literal, $user:literal, $peer:literal, $seq:literal, $first_seq:literal, $condition:literal) => {
        concat!(
            "select m.",
            $seq,
            " as seq, ",
            $first_seq,
            " as first_seq",
            $told,
            ", u.id as peer_id, ",
            message_columns!(),
            " from messages m join users u on u.key = m.",
            $peer,
            $feeds,
            " where m.",
            $user,
            " = $1 and m.",
            $seq,
            " > $3",
            $condition,
            " order by m.",
            $seq,
            " limit cast($4 as bigint)"
        )
    };
}
pub(super) use feed_of;

macro_rules! both {
    ($one:expr, $other:expr) => {
        concat!(
            "select * from (",
            $one,
            ") as one union all select * from (",
            $other,
            ") as other order by seq limit cast($4 as bigint)"
        )
    };
}
pub(super) use both;

/// What is new, at its first place: most messages have no other. What was hidden since is not shown any more.
macro_rules! new {
    ($told:expr, $feeds:literal) => {
        both!(
            feed_of!(
                $told,
                $feeds,
                "receiver",
                "sender",
                "receiver_seq",
                "m.receiver_seq",
                " and m.receiver_first_seq is null and m.hidden_for_receiver is null"
            ),
            feed_of!(
                $told,
                $feeds,
                "receiver",
                "sender",
                "receiver_first_seq",
                "m.receiver_first_seq",
                " and m.hidden_for_receiver is null"
            )
        )
    };
}
pub(super) use new;

/// What is new or changed, at its latest place. Of what retention has removed nothing is told.
macro_rules! all {
    ($told:expr, $feeds:literal) => {
        both!(
            feed_of!(
                $told,
                $feeds,
                "receiver",
                "sender",
                "receiver_seq",
                "coalesce(m.receiver_first_seq, m.receiver_seq)",
                " and m.removed is null"
            ),
            feed_of!(
                $told,
                $feeds,
                "sender",
                "receiver",
                "sender_seq",
                "coalesce(m.sender_first_seq, m.sender_seq)",
                " and m.removed is null"
            )
        )
    };
}
pub(super) use all;
