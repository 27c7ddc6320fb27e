//! What users learn of: each message and each thread once, at the place of its last change.

use std::collections::{BTreeMap, HashMap};

use netrox_proto::{
    time,
    v1::{
        DeleteMessageRequest, EditMessageRequest, EditMessageResponse, ErrorReason, Event, Failure,
        MarkDeliveredRequest, MarkDeliveredResponse, MarkSeenRequest, MarkSeenResponse, Message,
        SendMessageRequest, SendMessageResponse, SubscribeResponse, ThreadState, event::Change,
    },
};

use super::Subscriber;

#[derive(Default)]
pub(super) struct Feeds {
    last_id: i64,
    by_user: HashMap<String, Feed>,
    marks: HashMap<(String, String), (i64, i64)>,
    untold: Vec<(String, Vec<Event>)>,
}

#[derive(Default)]
struct Feed {
    last_seq: u64,
    events: BTreeMap<u64, Event>,
}

impl Subscriber {
    /// What comes to the subscriber of them.
    pub(super) fn response(&self, events: &[Event]) -> Option<SubscribeResponse> {
        let is_wanted = |event: &&Event| {
            !self.received_only || message_of(event).is_some_and(|one| one.receiver_id == self.user)
        };
        let wanted: Vec<_> = events.iter().filter(is_wanted).cloned().collect();
        let last_seq = events.last()?.seq;
        (!wanted.is_empty()).then(|| SubscribeResponse {
            events: wanted,
            last_seq,
            ..SubscribeResponse::default()
        })
    }
}

fn message_of(event: &Event) -> Option<&Message> {
    match &event.change {
        Some(Change::Message(message)) => Some(message),
        Some(Change::Thread(_) | Change::Typing(_) | Change::Presence(_) | Change::User(_))
        | None => None,
    }
}

impl Feed {
    fn message(&self, id: i64) -> Option<(u64, &Message)> {
        let mut events = self.events.values();
        events.find_map(|event| {
            message_of(event).filter(|one| one.id == id).map(|one| (event.first_seq, one))
        })
    }

    fn put(&mut self, change: Change, is_same: impl Fn(&Change) -> bool) -> Event {
        let is_before = |event: &&Event| event.change.as_ref().is_some_and(&is_same);
        let before = self.events.values().find(is_before).cloned();
        self.last_seq += 1;
        let seq = self.last_seq;
        let first_seq = match (&change, &before) {
            (Change::Message(_), Some(before)) => before.first_seq,
            (Change::Message(_), None) => seq,
            (Change::Thread(_) | Change::Typing(_) | Change::Presence(_) | Change::User(_), _) => 0,
        };
        if let Some(before) = before {
            self.events.remove(&before.seq);
        }
        let change = match change {
            Change::Message(message) => Change::Message(Message { rev: seq, ..message }),
            Change::Thread(thread) => Change::Thread(ThreadState { rev: seq, ..thread }),
            signal @ (Change::Typing(_) | Change::Presence(_) | Change::User(_)) => signal,
        };
        let event = Event { seq, change: Some(change), first_seq, trace: None };
        self.events.insert(seq, event.clone());
        event
    }
}

impl Feeds {
    pub(super) fn take_untold(&mut self) -> Vec<(String, Vec<Event>)> {
        std::mem::take(&mut self.untold)
    }

    pub(super) fn last_seq(&self, user: &str) -> u64 {
        self.by_user.get(user).map_or(0, |feed| feed.last_seq)
    }

    pub(super) fn after(&self, user: &str, seq: u64) -> Vec<Event> {
        let feed = self.by_user.get(user);
        feed.map_or(vec![], |feed| {
            feed.events.range(seq + 1..).map(|(_, one)| one.clone()).collect()
        })
    }

    pub(super) fn texts(&self, user: &str) -> Vec<(i64, String)> {
        let events = self.after(user, 0);
        events.iter().filter_map(message_of).map(|one| (one.id, one.body.clone())).collect()
    }

    pub(super) fn tell_again(&mut self, user: &str) {
        let events = self.after(user, 0);
        self.untold.push((user.to_owned(), events));
    }

    /// Whether the user has such a message.
    pub(super) fn has(&self, user: &str, id: i64) -> bool {
        self.by_user.get(user).is_some_and(|feed| feed.message(id).is_some())
    }

    fn tell(&mut self, user: &str, change: Change) {
        let is_same: Box<dyn Fn(&Change) -> bool> = match &change {
            Change::Message(message) => {
                let id = message.id;
                Box::new(move |other| matches!(other, Change::Message(other) if other.id == id))
            }
            Change::Thread(thread) => {
                let peer = thread.peer_id.clone();
                Box::new(
                    move |other| matches!(other, Change::Thread(other) if other.peer_id == peer),
                )
            }
            // None is kept.
            Change::Typing(_) | Change::Presence(_) | Change::User(_) => Box::new(|_| false),
        };
        let event = self.by_user.entry(user.to_owned()).or_default().put(change, is_same);
        match self.untold.iter_mut().find(|(other, _)| other == user) {
            Some((_, events)) => events.push(event),
            None => self.untold.push((user.to_owned(), vec![event])),
        }
    }

    pub(super) fn store(&mut self, sent: &SendMessageRequest) -> SendMessageResponse {
        self.last_id += 1;
        let id = self.last_id;
        let created = Some(time::timestamp(1_718_628_508_228_342 + id));
        let message = Message {
            id,
            thread_id: 1,
            sender_id: sent.sender_id.clone(),
            receiver_id: sent.receiver_id.clone(),
            body: sent.body.clone(),
            created,
            updated: created,
            reply_to_id: sent.reply_to_id,
            meta_json: sent.meta_json.clone(),
            ..Default::default()
        };
        let client_ref = sent.client_ref.clone().filter(|_| sent.from_client);
        let own = Message { client_ref, ..message.clone() };
        self.tell(&sent.sender_id, Change::Message(own));
        self.tell(&sent.receiver_id, Change::Message(message));
        SendMessageResponse { message_id: id, thread_id: 1, created, repeated: false }
    }

    fn find(&self, user: &str, id: i64) -> Result<Message, Failure> {
        let found = self.by_user.get(user).and_then(|feed| feed.message(id));
        let missing = || Failure::new(ErrorReason::MessageNotFound, "no such message");
        found.map(|(_, message)| message.clone()).ok_or_else(missing)
    }

    /// Changes a message for each of its users.
    fn change(
        &mut self,
        message: &Message,
        change: impl Fn(&mut Message),
    ) -> Result<Message, Failure> {
        for user in [&message.receiver_id, &message.sender_id] {
            let mut changed = self.find(user, message.id)?;
            change(&mut changed);
            self.tell(user, Change::Message(changed));
        }
        self.find(&message.sender_id, message.id)
    }

    pub(super) fn edit(
        &mut self,
        edit: &EditMessageRequest,
    ) -> Result<EditMessageResponse, Failure> {
        let message = self.find(&edit.user_id, edit.message_id)?;
        if message.sender_id != edit.user_id {
            return Err(Failure::new(ErrorReason::MessageNotAllowed, "another's"));
        }
        if message.deleted {
            return Err(Failure::new(ErrorReason::TooLate, "deleted"));
        }
        let changed = self.change(&message, |message| {
            message.body = edit.body.clone();
            message.updated = Some(time::timestamp(1_718_628_600_000_000));
            if let Some(meta) = &edit.meta_json {
                message.meta_json = Some(meta.clone()).filter(|meta| !meta.is_empty());
            }
        })?;
        Ok(EditMessageResponse { message: Some(changed) })
    }

    pub(super) fn delete(&mut self, deletion: &DeleteMessageRequest) -> Result<(), Failure> {
        let mut message = self.find(&deletion.user_id, deletion.message_id)?;
        if deletion.for_everyone {
            if message.sender_id != deletion.user_id {
                return Err(Failure::new(ErrorReason::MessageNotAllowed, "another's"));
            }
            self.change(&message, |message| {
                (message.deleted, message.meta_json) = (true, None);
                message.body.clear();
            })?;
        } else {
            message.hidden = true;
            message.body.clear();
            self.tell(&deletion.user_id, Change::Message(message));
        }
        Ok(())
    }

    fn state(&self, user: &str, peer: &str) -> Result<ThreadState, Failure> {
        let messages = self.by_user.get(user).into_iter().flat_map(|feed| feed.events.values());
        let of_peer = messages
            .filter_map(message_of)
            .filter(|one| [&one.sender_id, &one.receiver_id].iter().any(|id| *id == peer));
        let missing = || Failure::new(ErrorReason::ThreadNotFound, "no such thread");
        let last_id = of_peer.clone().map(|one| one.id).max().ok_or_else(missing)?;
        let marks = |one: &str, other: &str| {
            self.marks.get(&(one.to_owned(), other.to_owned())).copied().unwrap_or_default()
        };
        let ((seen_id, delivered_id), (peer_seen_id, peer_delivered_id)) =
            (marks(user, peer), marks(peer, user));
        let is_unread = |one: &&Message| {
            one.sender_id == peer && one.id > seen_id && !one.deleted && !one.hidden
        };
        let unread = of_peer.filter(is_unread).count() as i32;
        Ok(ThreadState {
            thread_id: 1,
            peer_id: peer.to_owned(),
            last_id,
            unread,
            seen_id,
            delivered_id,
            peer_seen_id,
            peer_delivered_id,
            blocked: false,
            rev: self.last_seq(user),
        })
    }

    fn mark(
        &mut self,
        (user, peer): (&str, &str),
        up_to: i64,
        is_seen: bool,
    ) -> Result<ThreadState, Failure> {
        if up_to > self.state(user, peer)?.last_id {
            return Err(Failure::invalid_field("up_to_id", "beyond the last message"));
        }
        let marks = self.marks.entry((user.to_owned(), peer.to_owned())).or_default();
        let before = *marks;
        if is_seen {
            marks.0 = marks.0.max(up_to);
        }
        marks.1 = marks.1.max(up_to);
        if *marks != before {
            let states = [(peer, self.state(peer, user)?), (user, self.state(user, peer)?)];
            // One's own devices do not learn of what was delivered to another.
            for (user, state) in states.into_iter().take(if is_seen { 2 } else { 1 }) {
                self.tell(user, Change::Thread(state));
            }
        }
        self.state(user, peer)
    }

    pub(super) fn mark_seen(
        &mut self,
        mark: &MarkSeenRequest,
    ) -> Result<MarkSeenResponse, Failure> {
        let state = self.mark((&mark.user_id, &mark.peer_id), mark.up_to_id, true)?;
        Ok(MarkSeenResponse { state: Some(state) })
    }

    pub(super) fn mark_delivered(
        &mut self,
        mark: &MarkDeliveredRequest,
    ) -> Result<MarkDeliveredResponse, Failure> {
        let state = self.mark((&mark.user_id, &mark.peer_id), mark.up_to_id, false)?;
        Ok(MarkDeliveredResponse { state: Some(state) })
    }
}
