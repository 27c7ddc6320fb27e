//! New messages of which nothing is to be decided, stored in one call (`store_messages`, which a migration makes): one round trip
//! to the server, the commit included. What the function numbers, and what [`crate::committer`] plans of what it found, are
//! the same numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use netrox_proto::ids::{ClientRef, UserId};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    command::NewMessage,
    store::{
        batch::{BatchData, Pair, ThreadState, UserState},
        history::Start,
        postgres::ServerClock,
        search::Budget,
        user::UserKey,
    },
};

macro_rules! store {
    ($function:literal, $more:literal) => {
        concat!(
            "select clock, coalesce(user_keys, '{}') as user_keys, coalesce(last_seqs, '{}') as last_seqs,
                coalesce(starts, '{}') as starts, coalesce(thread_ids, '{}') as thread_ids,
                coalesce(activities, '{}') as activities, coalesce(message_ids, '{}') as message_ids
            from ",
            $function,
            "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23",
            $more,
            ")"
        )
    };
}
const STORE: &str = store!("store_messages", "");
/// And indexes them.
const STORE_SEARCHED: &str = store!("store_searched_messages", ", $24");

/// What the function is called with, a column a field. Users, threads and messages are named by their places, from 1.
#[derive(Debug, Default)]
pub(crate) struct Sends<'a> {
    users: Vec<Uuid>,
    /// How many places each of them takes.
    steps: Vec<i64>,
    threads: Vec<(i32, i32)>,
    thread_steps: Vec<i64>,
    last_messages: Vec<i32>,
    /// Of each of the two, the last message; 0 if there is none.
    last_of_one: Vec<i32>,
    last_of_two: Vec<i32>,
    threads_of: Vec<i32>,
    senders: Vec<i32>,
    receivers: Vec<i32>,
    /// The how manieth the message is in its thread, and with its participants.
    thread_step: Vec<i64>,
    sender_step: Vec<i64>,
    receiver_step: Vec<i64>,
    /// Whether the message before it in its thread is of the same sender; `None` of the first.
    follows: Vec<Option<bool>>,
    bodies: Vec<&'a str>,
    metas: Vec<Option<&'a str>>,
    client_refs: Vec<Uuid>,
    from_client: Vec<bool>,
}

/// By when the server has to take a call up, and by when it has to have the locks, by its clock, microseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Turn {
    pub(in crate::store) begin_by: i64,
    pub(in crate::store) not_after: i64,
}

#[derive(Debug, FromRow)]
struct StoredRow {
    clock: i64,
    user_keys: Vec<UserKey>,
    last_seqs: Vec<i64>,
    starts: Vec<Start>,
    thread_ids: Vec<i64>,
    activities: Vec<Option<i64>>,
    /// None where nothing was stored.
    message_ids: Vec<i64>,
}

impl<'a> Sends<'a> {
    /// `None` where something is to be decided, as far as that is known without the database.
    pub(crate) fn of(messages: impl IntoIterator<Item = &'a NewMessage>) -> Option<Self> {
        let mut sends = Self::default();
        let mut participants = Vec::new();
        // The second of a name is a repetition.
        let mut named = HashSet::new();
        for message in messages {
            let is_plain = message.attachment.is_none()
                && message.form.is_none()
                && message.reply_to.is_none()
                && !message.is_repetition
                && message.sender != message.receiver;
            let client_ref = message.client_ref.filter(|_| is_plain)?;
            if !named.insert((message.sender, client_ref)) {
                return None;
            }
            participants.push((message.sender.0, message.receiver.0));
            sends.bodies.push(&message.body);
            sends.metas.push(message.meta.as_deref());
            sends.client_refs.push(client_ref.0);
            sends.from_client.push(message.ref_from_client);
        }
        sends.number(&participants);
        Some(sends)
    }

    fn number(&mut self, participants: &[(Uuid, Uuid)]) {
        let mut places: BTreeMap<Uuid, i32> =
            participants.iter().flat_map(|(one, two)| [(*one, 0), (*two, 0)]).collect();
        for ((user, place), number) in places.iter_mut().zip(1..) {
            *place = number;
            self.users.push(*user);
        }
        self.steps = vec![0; self.users.len()];
        let mut threads: HashMap<(i32, i32), usize> = HashMap::new();
        for ((sender, receiver), message) in participants.iter().zip(1..) {
            let (Some(&sender), Some(&receiver)) = (places.get(sender), places.get(receiver))
            else {
                continue;
            };
            let pair = (sender.min(receiver), sender.max(receiver));
            let thread = *threads.entry(pair).or_insert_with(|| {
                self.threads.push((sender, receiver));
                self.thread_steps.push(0);
                self.last_messages.push(0);
                self.last_of_one.push(0);
                self.last_of_two.push(0);
                self.threads.len() - 1
            });
            let is_one = self.threads[thread].0 == sender;
            let last = self.last_messages[thread];
            let (own, other) = if is_one {
                (&mut self.last_of_one[thread], self.last_of_two[thread])
            } else {
                (&mut self.last_of_two[thread], self.last_of_one[thread])
            };
            self.follows.push((last != 0).then_some(last != other));
            *own = message;
            self.last_messages[thread] = message;
            self.threads_of.push(thread as i32 + 1);
            self.thread_step.push(next(&mut self.thread_steps, thread));
            self.senders.push(sender);
            self.sender_step.push(next(&mut self.steps, sender as usize - 1));
            self.receivers.push(receiver);
            self.receiver_step.push(next(&mut self.steps, receiver as usize - 1));
        }
    }

    /// `None` where nothing was stored, because something is to be decided, or the server has taken it up after `not_after` by
    /// its clock. Gives what the clock said, where it was read. Where it fails, the commit may have been what failed.
    pub(in crate::store) async fn store(
        &self,
        connection: &mut PgConnection,
        start: Start,
        now: i64,
        Turn { begin_by, not_after }: Turn,
        searches: bool,
    ) -> Result<(Option<BatchData>, Option<ServerClock>), sqlx::Error> {
        let (ones, twos): (Vec<_>, Vec<_>) = self.threads.iter().copied().unzip();
        let query = sqlx::query_as(if searches { STORE_SEARCHED } else { STORE })
            .bind(start)
            .bind(now)
            .bind(begin_by)
            .bind(not_after)
            .bind(&self.users)
            .bind(&self.steps)
            .bind(ones)
            .bind(twos)
            .bind(&self.thread_steps)
            .bind(&self.last_messages)
            .bind(&self.last_of_one)
            .bind(&self.last_of_two)
            .bind(&self.threads_of)
            .bind(&self.senders)
            .bind(&self.receivers)
            .bind(&self.thread_step)
            .bind(&self.sender_step)
            .bind(&self.receiver_step)
            .bind(&self.follows)
            .bind(&self.bodies)
            .bind(&self.metas)
            .bind(&self.client_refs)
            .bind(&self.from_client);
        let mut budget = Budget::default();
        let query = match searches {
            true => {
                query.bind(self.bodies.iter().map(|body| budget.fold(body)).collect::<Vec<_>>())
            }
            false => query,
        };
        // The row comes before the commit: this waits for the end of it.
        let mut rows: Vec<StoredRow> = query.fetch_all(connection).await?;
        let row = rows.pop();
        let clock = row.as_ref().map(|row| ServerClock::heard(row.clock));
        let stored = row.filter(|row| !row.message_ids.is_empty());
        Ok((stored.map(|row| self.found(row)), clock))
    }

    /// What was there before, as it would have been loaded.
    fn found(&self, row: StoredRow) -> BatchData {
        let mut found = BatchData::default();
        let states = row.user_keys.iter().zip(&row.last_seqs).zip(&row.starts);
        for (id, ((&key, &last_seq), &start)) in self.users.iter().zip(states) {
            // Whatever they block, nothing of the call is blocked.
            let has_blocks = false;
            let state = UserState { id: *id, key, deleted: false, last_seq, start, has_blocks };
            found.users.insert(UserId(*id), state);
        }
        let mut new = Vec::new();
        let threads = row.thread_ids.into_iter().zip(row.activities);
        for ((one, two), (id, activity)) in self.threads.iter().zip(threads) {
            let (Some(last_activity), Some(pair)) =
                (activity, self.pair(&row.user_keys, *one, *two))
            else {
                new.push(id);
                continue;
            };
            let (low_key, high_key) = pair;
            // What is noted of it the function knows, and nobody asks for here.
            let thread = ThreadState {
                id,
                low_key,
                high_key,
                user_one: low_key,
                last_activity,
                last_message: None,
                low_sent: None,
                low_shown: None,
                high_sent: None,
                high_shown: None,
                low_swallowed: None,
                high_swallowed: None,
                late_created: None,
                late_one: None,
            };
            found.threads.insert(pair, thread);
        }
        found.thread_ids = new.into_iter();
        found.message_ids = row.message_ids.into_iter();
        found
    }

    fn pair(&self, keys: &[UserKey], one: i32, two: i32) -> Option<Pair> {
        let key = |place: i32| keys.get(usize::try_from(place).ok()?.checked_sub(1)?).copied();
        let (one, two) = (key(one)?, key(two)?);
        Some((one.min(two), one.max(two)))
    }

    /// By which the messages are found, in their order.
    pub(in crate::store) fn references(&self) -> Vec<(UserId, ClientRef)> {
        let sender = |place: &i32| self.users.get(*place as usize - 1).copied();
        let senders = self.senders.iter().filter_map(sender);
        senders
            .zip(&self.client_refs)
            .map(|(user, name)| (UserId(user), ClientRef(*name)))
            .collect()
    }
}

/// The how manieth of a user or thread this is.
fn next(steps: &mut [i64], place: usize) -> i64 {
    steps[place] += 1;
    steps[place]
}
