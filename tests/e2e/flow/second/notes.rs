//! What a device holds, has under way and was told, written down as it saw it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use netrox_harness::User;
use serde_json::Value;

use super::{
    lane::{Lane, RESTS},
    plan::{Sent, Verb},
};
use crate::v2::client::Held;

/// After these a client asks the same again; after `internal` as well, but that is a defect.
const REPEATS: [&str; 2] = ["unavailable", "outcome_unknown"];
/// Frames that are kept for people.
const LAST_FRAMES: usize = 12;

pub(super) struct Notes {
    pub(super) user: User,
    pub(super) peer: String,
    pub(super) index: usize,
    pub(super) held: Held,
    /// The first cursor.
    pub(super) begin: Option<String>,
    pub(super) sent: Vec<Sent>,
    /// By reference.
    pub(super) numbers: HashMap<String, usize>,
    /// The greatest marks that were acknowledged.
    pub(super) seen: i64,
    pub(super) delivered: i64,
    /// Messages of the peer whose deletion was acknowledged.
    pub(super) hidden: BTreeSet<i64>,
    pub(super) steps: usize,
    /// Of sends, and of all else.
    pub(super) lanes: [Lane; 2],
    /// Sent on this connection and not answered, by `ref`.
    pub(super) pending: BTreeMap<String, Verb>,
    pub(super) next_ref: usize,
    has_hello: bool,
    is_live: bool,
    ends: usize,
    acks: usize,
    errors: BTreeMap<String, usize>,
    last_frames: VecDeque<String>,
}

impl Notes {
    pub(super) fn new(user: User, peer: String, index: usize) -> Self {
        Self {
            user,
            peer,
            index,
            held: Held::default(),
            begin: None,
            sent: Vec::new(),
            numbers: HashMap::new(),
            seen: 0,
            delivered: 0,
            hidden: BTreeSet::new(),
            steps: 0,
            lanes: RESTS.map(Lane::new),
            pending: BTreeMap::new(),
            next_ref: 0,
            has_hello: false,
            is_live: false,
            ends: 0,
            acks: 0,
            errors: BTreeMap::new(),
            last_frames: VecDeque::new(),
        }
    }

    /// Another connection begins. Gives what it asks for.
    pub(super) fn connects(&mut self) -> String {
        for verb in std::mem::take(&mut self.pending).into_values() {
            self.doubt(&verb);
        }
        self.lanes.iter_mut().for_each(Lane::breaks);
        self.ends += usize::from(self.has_hello);
        (self.has_hello, self.is_live) = (false, false);
        let after = self.held.cursor.as_ref().map(|cursor| format!("&after={cursor}"));
        after.unwrap_or_default()
    }

    pub(super) fn take(&mut self, text: &str) {
        if self.last_frames.len() == LAST_FRAMES {
            self.last_frames.pop_front();
        }
        self.last_frames.push_back(text.to_owned());
        let frame: Value = serde_json::from_str(text).expect("a JSON frame");
        let action = frame["action"].as_str().expect("an action");
        assert_eq!(action != "hello", self.has_hello, "hello comes first and once: {frame}");
        match action {
            "hello" => {
                self.has_hello = true;
                assert_eq!(frame["user_id"], self.user.id, "{frame}");
                assert!(frame["reset"].is_null(), "nothing went back: {frame}");
                assert_eq!(frame["resumed"], self.held.cursor.is_some(), "{frame}");
                let cursor = frame["cursor"].as_str().expect("a cursor");
                self.begin.get_or_insert_with(|| cursor.to_owned());
            }
            "live" => {
                assert!(!self.is_live, "live comes once");
                self.is_live = true;
            }
            "message" => self.settle(&frame),
            // Its edge drains, and serves until its close.
            "thread" | "reconnect" => {}
            "ack" | "error" => return self.answered(&frame),
            _ => panic!("it got {frame}"),
        }
        self.held.take(&self.user, &frame);
    }

    /// A message of its own that comes by whatever way is stored.
    fn settle(&mut self, frame: &Value) {
        let message = &frame["message"];
        let id = message["id"].as_i64().expect("an id");
        let number = message["client_ref"].as_str().and_then(|it| self.numbers.get(it)).copied();
        if let Some(number) = number {
            self.stored(number, id, message);
        }
    }

    fn stored(&mut self, number: usize, id: i64, told: &Value) {
        let sent = &mut self.sent[number];
        assert!(!sent.is_bad && !sent.is_refused, "it cannot be stored: {told}");
        assert!(sent.id.is_none_or(|first| first == id), "{sent:?} is stored twice: {told}");
        sent.id = Some(id);
        self.done(&Verb::Send { number });
    }

    fn answered(&mut self, frame: &Value) {
        let reference = frame["ref"].as_str().unwrap_or_default();
        let verb = self.pending.remove(reference);
        let verb = verb.unwrap_or_else(|| panic!("an answer to nothing: {frame}"));
        if let Verb::Send { number } = &verb {
            assert_eq!(frame["client_ref"], self.sent[*number].client_ref.as_str(), "{frame}");
        }
        if frame["action"] == "ack" {
            self.acks += 1;
            self.acknowledged(&verb, frame);
            return self.done(&verb);
        }
        let code = frame["code"].as_str().expect("a code");
        *self.errors.entry(code.to_owned()).or_default() += 1;
        if let Verb::Send { number } = &verb
            && self.sent[*number].is_bad
            && code == "not_found"
        {
            self.sent[*number].is_refused = true;
            return self.done(&verb);
        }
        assert!(REPEATS.contains(&code), "{verb:?} was refused: {frame}");
        self.doubt(&verb);
        self.repeat(&verb);
    }

    fn acknowledged(&mut self, verb: &Verb, ack: &Value) {
        let id = ack["message_id"].as_i64();
        let mark = |key: &str, up_to: &i64, before: i64| {
            let told = ack[key].as_i64().expect("a mark");
            assert!(told >= before.max(*up_to), "{verb:?} was told {ack}, and {before} before");
            told
        };
        match verb {
            Verb::Send { number } => self.stored(*number, id.expect("an id"), ack),
            Verb::Edit { number, text } => {
                let sent = &mut self.sent[*number];
                assert_eq!(id, sent.id, "{ack}");
                sent.text.clone_from(text);
                sent.updated = ack["updated"].as_str().map(str::to_owned);
            }
            Verb::Delete { number, is_for_everyone } => {
                let sent = &mut self.sent[*number];
                assert_eq!(id, sent.id, "{ack}");
                let fact =
                    if *is_for_everyone { &mut sent.is_deleted } else { &mut sent.is_hidden };
                *fact = true;
            }
            Verb::Hide { id: hidden } => {
                assert_eq!(id, Some(*hidden), "{ack}");
                self.hidden.insert(*hidden);
            }
            Verb::Mark { up_to, is_seen: true } => self.seen = mark("seen_id", up_to, self.seen),
            Verb::Mark { up_to, is_seen: false } => {
                self.delivered = mark("delivered_id", up_to, self.delivered);
            }
        }
    }

    /// Whether it is up to date, with nothing under way.
    pub(super) fn is_settled(&self) -> bool {
        let is_idle = self.lanes.iter().all(Lane::is_idle);
        is_idle && self.is_live && self.pending.is_empty()
    }

    pub(super) fn has_hello(&self) -> bool {
        self.has_hello
    }

    /// Whether this connection is, or the last one was to its end.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    pub(super) fn acks(&self) -> usize {
        self.acks
    }

    pub(super) fn errors(&self) -> &BTreeMap<String, usize> {
        &self.errors
    }

    pub(super) fn ends(&self) -> usize {
        self.ends
    }

    pub(super) fn last_frames(&self) -> String {
        let frames: Vec<_> = self.last_frames.iter().map(String::as_str).collect();
        let (index, pending) = (self.index, &self.pending);
        format!("device {index}, {pending:?} not answered:\n{}", frames.join("\n"))
    }
}
