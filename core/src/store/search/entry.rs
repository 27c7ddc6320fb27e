//! What the index has of a message: an entry for what its sender sees, and one more where its receiver goes on to see something
//! else. Each names the users who may find it, and no other.

use super::fold::fold;
use crate::store::{
    batch::{ChangedMessageRow, NewMessageRow, Rows},
    message::MessageRow,
    user::UserKey,
};

/// Bytes of a folded text that are indexed. One that a core takes by default has fewer, unless folding makes it longer: of a script
/// without spaces, say.
const MOST_OF_A_TEXT: usize = 32 * 1024;
/// The same of a transaction, for which senders wait: a full batch of messages of five hundred bytes.
pub(super) const MOST_AT_A_TIME: usize = 512 * 1024;

/// By its number: the id of the message times two, and one more for what its receiver alone sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) number: i64,
    pub(super) thread_id: i64,
    /// Whose message it is.
    participants: [UserKey; 2],
    /// Who may find it.
    pub(super) users: [Option<UserKey>; 2],
    /// Folded; `None` where nobody may find it.
    pub(super) words: Option<String>,
    /// Of the message: greater after each change.
    pub(super) version: i64,
}

impl Entry {
    pub(crate) fn number(&self) -> i64 {
        self.number
    }

    /// Of its words.
    pub(super) fn bytes(&self) -> usize {
        self.words.as_ref().map_or(0, String::len)
    }
}

/// A message that is to be indexed later, and its participants, who look for it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(super) id: i64,
    pub(super) participants: [UserKey; 2],
}

impl Note {
    pub(crate) fn id(&self) -> i64 {
        self.id
    }
}

/// What of a message decides who finds it by what.
#[derive(Debug, Clone, Copy)]
struct State<'a> {
    id: i64,
    thread_id: i64,
    participants: [UserKey; 2],
    /// Where they see it.
    sender: Option<UserKey>,
    /// If the message was shown to them.
    receiver: Option<UserKey>,
    body: &'a str,
    /// What the receiver sees of one that was edited while they blocked its sender.
    earlier: Option<&'a str>,
    version: i64,
}

/// The entries of a message, also those that nobody may find.
fn entries(state: State<'_>) -> [Entry; 2] {
    let State { id, thread_id, participants, sender, receiver, body, earlier, version } = state;
    let entry = |number, users: [Option<UserKey>; 2], text: &str| {
        let is_found = users.iter().any(Option::is_some) && !text.is_empty();
        let words = is_found.then(|| indexed(text)).filter(|words| words.len() > 1);
        Entry { number, thread_id, participants, users, words, version }
    };
    match earlier {
        None => {
            [entry(of_both(id), [sender, receiver], body), entry(of_receiver(id), [None, None], "")]
        }
        Some(earlier) => [
            entry(of_both(id), [sender, None], body),
            entry(of_receiver(id), [None, receiver], earlier),
        ],
    }
}

/// A folded text, as far as it is indexed.
fn indexed(text: &str) -> String {
    let mut folded = fold(text);
    if folded.len() > MOST_OF_A_TEXT {
        folded.truncate(folded.floor_char_boundary(MOST_OF_A_TEXT));
        // It begins with a space. Where there is no other, it is one word.
        match folded.rfind(' ').filter(|end| *end > 0) {
            Some(end) => folded.truncate(end + 1),
            None => folded.push(' '),
        }
    }
    folded
}

/// How much of a transaction is left for the index. What goes beyond is indexed later: until then it is looked for beside the index.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST_AT_A_TIME)
    }
}

impl Budget {
    /// Whether there is room for a text.
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    /// A folded text, if there is room for it.
    pub(crate) fn fold(&mut self, text: &str) -> Option<String> {
        Some(indexed(text)).filter(|folded| self.takes(folded.len()))
    }

    /// Takes the words from the entries that there is no room for; gives the messages of these.
    pub(crate) fn cut(&mut self, entries: &mut [Entry]) -> Vec<Note> {
        let mut later = Vec::new();
        for entry in entries {
            if !self.takes(entry.bytes()) {
                entry.words = None;
                let (id, participants) = (message_of(entry.number), entry.participants);
                later.push(Note { id, participants });
            }
        }
        later
    }
}

fn of_both(id: i64) -> i64 {
    id.saturating_mul(2)
}

fn of_receiver(id: i64) -> i64 {
    of_both(id).saturating_add(1)
}

/// Greater than the numbers of all older messages, and of none that is newer.
pub(super) fn before(id: i64) -> i64 {
    of_both(id)
}

/// Whose entry it is.
pub(crate) fn message_of(number: i64) -> i64 {
    number / 2
}

/// How messages are changed: each change takes a place in the feed of at least one of the two.
fn version(sender_seq: i64, receiver_seq: Option<i64>) -> i64 {
    sender_seq.saturating_add(receiver_seq.unwrap_or_default())
}

/// Of a message in the database.
pub(super) fn of_row(row: &MessageRow) -> [Entry; 2] {
    let earlier = row.earlier_text();
    let is_shown = row.receiver_seq.is_some();
    entries(State {
        id: row.id,
        thread_id: row.thread_id,
        participants: [row.sender, row.receiver],
        sender: (!row.deleted && !row.hidden_for_sender).then_some(row.sender),
        receiver: (is_shown && !row.deleted && !row.hidden_for_receiver).then_some(row.receiver),
        body: &row.body,
        earlier: earlier.as_ref().map(|earlier| earlier.body.as_str()),
        version: version(row.sender_seq, row.receiver_seq),
    })
}

/// Of a message that there is not.
pub(super) fn of_none(id: i64) -> [Entry; 2] {
    let (thread_id, participants, body, version) = (0, [UserKey(0); 2], "", 0);
    let (sender, receiver, earlier) = (None, None, None);
    entries(State { id, thread_id, participants, sender, receiver, body, earlier, version })
}

/// What a batch adds to the index; in the order of their numbers.
pub(crate) fn of_new(rows: &Rows<'_>) -> Result<Vec<Entry>, std::str::Utf8Error> {
    let entry = |row: &NewMessageRow<'_>| {
        let body = std::str::from_utf8(&rows.bodies[row.body.clone()])?;
        let receiver_seq = row.receiver_seq.map(u64::cast_signed);
        let [entry, _] = entries(State {
            id: row.id,
            thread_id: row.thread_id,
            participants: [row.sender, row.receiver],
            sender: Some(row.sender),
            receiver: row.receiver_seq.map(|_| row.receiver),
            body,
            earlier: None,
            version: version(row.sender_seq.cast_signed(), receiver_seq),
        });
        Ok(entry)
    };
    let entries: Vec<Entry> = rows.messages.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(entries.into_iter().filter(|entry| entry.words.is_some()).collect())
}

/// What becomes of the entries of messages that a batch changes, of all of them; in the order of their numbers.
pub(crate) fn of_changed(rows: &Rows<'_>) -> Vec<Entry> {
    let entries = |row: &ChangedMessageRow| {
        let earlier = row.earlier_text();
        let receiver = (!row.deleted && !row.hidden_for_receiver).then_some(row.receiver);
        entries(State {
            id: row.id,
            thread_id: row.thread_id,
            participants: [row.sender, row.receiver],
            sender: (!row.deleted && !row.hidden_for_sender).then_some(row.sender),
            receiver: receiver.filter(|_| row.last_receiver_seq.is_some()),
            body: &row.body,
            earlier: earlier.as_ref().map(|earlier| earlier.body.as_str()),
            version: version(row.last_sender_seq, row.last_receiver_seq),
        })
    };
    rows.changed.values().flat_map(entries).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Option<UserKey> = Some(UserKey(1));
    const RECEIVER: Option<UserKey> = Some(UserKey(2));

    fn found(
        sender: Option<UserKey>,
        receiver: Option<UserKey>,
        earlier: Option<&str>,
    ) -> Vec<(i64, [Option<UserKey>; 2], String)> {
        let (id, thread_id, body, version) = (7, 3, "New text", 9);
        let participants = [UserKey(1), UserKey(2)];
        let state = State { id, thread_id, participants, sender, receiver, body, earlier, version };
        let entries = entries(state).into_iter();
        let found = entries.filter_map(|it| Some((it.number, it.users, it.words?)));
        found.collect()
    }

    #[test]
    fn each_of_the_two_finds_a_message_by_what_they_see_of_it() {
        let new = || " new text ".to_owned();
        assert_eq!(found(SENDER, RECEIVER, None), [(14, [SENDER, RECEIVER], new())]);
        assert_eq!(found(SENDER, None, None), [(14, [SENDER, None], new())]);
        assert_eq!(found(None, RECEIVER, None), [(14, [None, RECEIVER], new())]);
        assert_eq!(found(None, None, None), []);
        let held = [(14, [SENDER, None], new()), (15, [None, RECEIVER], " old ".to_owned())];
        assert_eq!(found(SENDER, RECEIVER, Some("Old")), held);
        assert_eq!(found(None, RECEIVER, Some("Old")), held[1..]);
        assert_eq!(found(SENDER, None, Some("Old")), held[..1]);
        assert_eq!(found(SENDER, RECEIVER, Some("?!")), held[..1]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_too_much_is_left_for_later() {
        let long = "wörter ".repeat(MOST_OF_A_TEXT / 6);
        let folded = indexed(&long);
        assert!(folded.len() <= MOST_OF_A_TEXT && folded.len() > MOST_OF_A_TEXT - 8);
        assert!(folded.ends_with(" worter "), "{}", &folded[folded.len() - 20..]);
        let entry = |id: i64| Entry {
            number: of_both(id),
            thread_id: 1,
            participants: [UserKey(1), UserKey(2)],
            users: [SENDER, RECEIVER],
            words: Some(folded.clone()),
            version: 1,
        };
        const FITTING: usize = MOST_AT_A_TIME / MOST_OF_A_TEXT;
        let mut entries: Vec<_> = (1..=FITTING as i64 + 2).map(entry).collect();
        let later = Budget::default().cut(&mut entries);
        let later: Vec<_> = later.iter().map(Note::id).collect();
        assert_eq!(later, [FITTING as i64 + 1, FITTING as i64 + 2]);
        assert_eq!(entries.iter().filter(|entry| entry.words.is_some()).count(), FITTING);
        let mut budget = Budget::default();
        let folded = (0..FITTING + 1).filter_map(|_| budget.fold(&long)).count();
        assert_eq!((folded, budget.fold(&long)), (FITTING, None));
        assert_eq!(Budget::default().fold("Short").as_deref(), Some(" short "));
    }

    #[test]
    fn one_long_word_is_indexed_as_far_as_it_goes() {
        let folded = indexed(&"x".repeat(2 * MOST_OF_A_TEXT));
        assert_eq!(folded.len(), MOST_OF_A_TEXT + 1);
        assert!(folded.starts_with(" xxx") && folded.ends_with("xxx "));
    }

    #[test]
    fn an_entry_tells_its_message() {
        assert_eq!([of_both(7), of_receiver(7)].map(message_of), [7, 7]);
        assert!(of_receiver(6) < before(7) && before(7) <= of_both(7));
    }
}
