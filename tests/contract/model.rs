//! Random actions of three users against a model of what the contract says: after them histories, states of threads and lists are
//! what the model says, and whoever folds the feed has them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use netrox_proto::v1::{
    BlockUserRequest, DeleteMessageRequest, DispatchAttachmentRequest, EditMessageRequest,
    ErrorReason, MarkDeliveredRequest, MarkSeenRequest, Message, SendMessageRequest,
    SubscribeRequest, ThreadState, UnblockUserRequest, event::Change,
    send_messages_request::Request, send_messages_response::Result as Answer,
};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::{runtime::Handle, sync::Mutex};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{
    attachment::{dispatch, upload},
    pipeline::Pipeline,
    running::{Connection, Core, text},
    subscribe::Subscription,
};

const USERS: usize = 3;

#[derive(Debug, Clone)]
enum Action {
    Send {
        from: usize,
        to: usize,
        reply_to: Option<Index>,
    },
    Upload {
        from: usize,
        to: usize,
    },
    Dispatch {
        user: usize,
        message: Index,
    },
    Edit {
        user: usize,
        message: Index,
        text: u8,
    },
    Delete {
        user: usize,
        message: Index,
        for_everyone: bool,
    },
    Mark {
        user: usize,
        peer: usize,
        message: Index,
        is_seen: bool,
    },
    /// Or unblock.
    Block {
        user: usize,
        peer: usize,
        blocks: bool,
    },
}

fn pair() -> impl Strategy<Value = (usize, usize)> {
    (0..USERS, 1..USERS).prop_map(|(one, step)| (one, (one + step) % USERS))
}

fn action() -> impl Strategy<Value = Action> {
    let message = any::<Index>;
    prop_oneof![
        6 => (pair(), proptest::option::weighted(0.2, message()))
            .prop_map(|((from, to), reply_to)| Action::Send { from, to, reply_to }),
        1 => pair().prop_map(|(from, to)| Action::Upload { from, to }),
        1 => (0..USERS, message()).prop_map(|(user, message)| Action::Dispatch { user, message }),
        2 => (0..USERS, message(), 0..3u8)
            .prop_map(|(user, message, text)| Action::Edit { user, message, text }),
        3 => (0..USERS, message(), any::<bool>())
            .prop_map(|(user, message, for_everyone)| Action::Delete { user, message, for_everyone }),
        4 => (pair(), message(), any::<bool>())
            .prop_map(|((user, peer), message, is_seen)| Action::Mark { user, peer, message, is_seen }),
        2 => (pair(), any::<bool>())
            .prop_map(|((user, peer), blocks)| Action::Block { user, peer, blocks }),
    ]
}

#[derive(Debug, Clone)]
struct Stored {
    id: i64,
    sender: usize,
    receiver: usize,
    body: String,
    /// What its receiver goes on to see, if that is something else.
    receiver_body: Option<String>,
    is_file: bool,
    /// Not a file that waits for its dispatch.
    is_sent: bool,
    /// By a block, for good.
    is_swallowed: bool,
    is_deleted: bool,
    hidden: [bool; USERS],
}

impl Stored {
    fn is_of(&self, user: usize) -> bool {
        user == self.sender || user == self.receiver
    }

    /// Whether it was ever visible to the user.
    fn is_known_to(&self, user: usize) -> bool {
        let reaches_receiver = self.is_sent && !self.is_swallowed;
        user == self.sender || user == self.receiver && reaches_receiver
    }

    /// As it stands, for one of its two users.
    fn body_for(&self, user: usize) -> &str {
        let of_receiver = self.receiver_body.as_deref().filter(|_| user == self.receiver);
        if self.is_deleted { "" } else { of_receiver.unwrap_or(&self.body) }
    }

    fn is_visible_to(&self, user: usize) -> bool {
        self.is_known_to(user) && !self.hidden[user]
    }

    fn is_between(&self, one: usize, two: usize) -> bool {
        self.is_of(one) && self.is_of(two)
    }
}

#[derive(Debug, Default)]
struct Model {
    messages: Vec<Stored>,
    /// Of a user and a peer: what was seen, and what was delivered.
    marks: BTreeMap<(usize, usize), (i64, i64)>,
    /// What the peer is shown of it, where a block has held that up.
    shown: BTreeMap<(usize, usize), (i64, i64)>,
    /// Who blocks whom.
    blocks: BTreeSet<(usize, usize)>,
}

impl Model {
    fn last_id(&self, user: usize, peer: usize) -> i64 {
        let known = self.messages.iter().filter(|it| it.is_between(user, peer));
        known.filter(|it| it.is_known_to(user)).map(|it| it.id).max().unwrap_or(0)
    }

    fn marks(&self, user: usize, peer: usize) -> (i64, i64) {
        self.marks.get(&(user, peer)).copied().unwrap_or_default()
    }

    /// How far a user has got, as the peer is shown it.
    fn shown_marks(&self, user: usize, peer: usize) -> (i64, i64) {
        self.shown.get(&(user, peer)).copied().unwrap_or_else(|| self.marks(user, peer))
    }

    fn unread(&self, user: usize, peer: usize) -> usize {
        let above = self.messages.iter().filter(|it| (it.sender, it.receiver) == (peer, user));
        let (seen, _) = self.marks(user, peer);
        above.filter(|it| it.id > seen && it.is_visible_to(user) && !it.is_deleted).count()
    }

    /// The message that an action names, if it does: there has to be one.
    fn place(&self, action: &Action) -> Option<usize> {
        match action {
            Action::Send { reply_to: None, .. } | Action::Upload { .. } | Action::Block { .. } => {
                None
            }
            Action::Send { reply_to: Some(message), .. }
            | Action::Dispatch { message, .. }
            | Action::Edit { message, .. }
            | Action::Delete { message, .. }
            | Action::Mark { message, .. } => Some(message.index(self.messages.len())),
        }
    }

    fn can_act(&self, action: &Action) -> bool {
        let needs_none = matches!(
            action,
            Action::Send { reply_to: None, .. } | Action::Upload { .. } | Action::Block { .. }
        );
        needs_none || !self.messages.is_empty()
    }

    /// What an action is refused with.
    fn refusal(&self, action: &Action, place: Option<usize>) -> Option<ErrorReason> {
        let find = |_: &Index| place.map(|place| &self.messages[place]);
        match action {
            Action::Send { from, to, reply_to: Some(target) } => {
                let target = find(target)?;
                let fits = target.is_between(*from, *to) && target.is_visible_to(*from);
                (!fits).then_some(ErrorReason::MessageNotFound)
            }
            Action::Send { .. } | Action::Upload { .. } | Action::Block { .. } => None,
            Action::Dispatch { user, message } => {
                let it = find(message)?;
                let fits = it.sender == *user && it.is_file && !it.is_deleted && !it.hidden[*user];
                (!fits).then_some(ErrorReason::MessageNotFound)
            }
            Action::Edit { user, message, .. } => {
                let it = find(message)?;
                if !it.is_visible_to(*user) {
                    Some(ErrorReason::MessageNotFound)
                } else if it.sender != *user {
                    Some(ErrorReason::MessageNotAllowed)
                } else {
                    it.is_deleted.then_some(ErrorReason::TooLate)
                }
            }
            Action::Delete { user, message, for_everyone } => {
                let it = find(message)?;
                let is_done = if *for_everyone { it.is_deleted } else { it.hidden[*user] };
                if !it.is_known_to(*user) {
                    Some(ErrorReason::MessageNotFound)
                } else if is_done || !for_everyone {
                    None
                } else if it.hidden[*user] {
                    Some(ErrorReason::MessageNotFound)
                } else {
                    (it.sender != *user).then_some(ErrorReason::MessageNotAllowed)
                }
            }
            Action::Mark { user, peer, message, .. } => {
                let up_to = find(message)?.id;
                match self.last_id(*user, *peer) {
                    0 => Some(ErrorReason::ThreadNotFound),
                    last_id => (up_to > last_id).then_some(ErrorReason::InvalidField),
                }
            }
        }
    }

    /// What an action that was not refused has done; `id` is that of a new message.
    fn apply(&mut self, action: &Action, place: Option<usize>, id: i64) {
        let place = place.unwrap_or_default();
        match action {
            Action::Send { from, to, .. } => {
                let body = self.next_text();
                let is_swallowed = self.blocks.contains(&(*to, *from));
                let message = stored(id, *from, *to, body, false);
                self.messages.push(Stored { is_swallowed, ..message });
            }
            Action::Upload { from, to } => {
                let is_swallowed = self.blocks.contains(&(*to, *from));
                let message = stored(id, *from, *to, "a file".into(), true);
                self.messages.push(Stored { is_swallowed, ..message });
            }
            Action::Dispatch { .. } => {
                let it = &mut self.messages[place];
                if !it.is_sent {
                    it.is_sent = true;
                    it.is_swallowed |= self.blocks.contains(&(it.receiver, it.sender));
                }
            }
            Action::Edit { text, .. } => {
                let it = &mut self.messages[place];
                let before = std::mem::replace(&mut it.body, edited(*text));
                if !self.blocks.contains(&(it.receiver, it.sender)) {
                    it.receiver_body = None;
                } else if before != it.body && !it.is_swallowed {
                    it.receiver_body.get_or_insert(before);
                }
            }
            Action::Delete { for_everyone: true, .. } => {
                let it = &mut self.messages[place];
                it.is_deleted = true;
                it.receiver_body = None;
            }
            Action::Delete { user, for_everyone: false, .. } => {
                self.messages[place].hidden[*user] = true;
            }
            Action::Mark { user, peer, is_seen, .. } => {
                let up_to = self.messages[place].id;
                let pair = (*user, *peer);
                let is_apart = self.blocks.contains(&pair) || self.blocks.contains(&(*peer, *user));
                let marks = self.marks.entry(pair).or_default();
                let before = *marks;
                marks.1 = up_to.max(marks.1);
                if *is_seen {
                    marks.0 = up_to.max(marks.0);
                }
                if !is_apart {
                    self.shown.remove(&pair);
                } else if *marks != before {
                    self.shown.entry(pair).or_insert(before);
                }
            }
            Action::Block { user, peer, blocks: true } => {
                self.blocks.insert((*user, *peer));
            }
            Action::Block { user, peer, blocks: false } => {
                self.blocks.remove(&(*user, *peer));
            }
        }
    }

    fn next_text(&self) -> String {
        format!("text {}", self.messages.len())
    }
}

fn edited(text: u8) -> String {
    format!("edited {text}")
}

struct World {
    /// To each core, of which each action takes the next.
    connections: Vec<Connection>,
    acted: usize,
    users: [String; USERS],
    model: Model,
}

fn reason(status: &Status) -> Option<ErrorReason> {
    let name = status.get_details_error_info()?.reason;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"))
}

impl World {
    fn new(connections: Vec<Connection>) -> Self {
        Self { connections, acted: 0, users: Default::default(), model: Model::default() }
    }

    fn core(&self) -> &Connection {
        &self.connections[self.acted % self.connections.len()]
    }

    /// Does it, and holds what it is answered to the model.
    async fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        if !self.model.can_act(action) {
            return Ok(());
        }
        let place = self.model.place(action);
        let expected = self.model.refusal(action, place);
        let done = self.call(action, place).await;
        let refused = done.as_ref().err();
        prop_assert_eq!(refused.and_then(reason), expected, "{:?} {:?}", action, refused);
        if let Ok(id) = done {
            self.model.apply(action, place, id);
        }
        Ok(())
    }

    /// The same of several at once, which a core may take as one batch.
    async fn act_together(&mut self, actions: &[Action]) -> Result<(), TestCaseError> {
        self.acted += 1;
        let named: Vec<_> = actions
            .iter()
            .filter(|action| !matches!(action, Action::Upload { .. }) && self.model.can_act(action))
            .map(|action| (action, self.model.place(action)))
            .collect();
        let pipeline = Pipeline::open(self.core()).await;
        for (number, (action, place)) in named.iter().enumerate() {
            let text = format!("together {number}");
            pipeline.request(number as u64 + 1, self.request(action, *place, &text)).await;
        }
        let mut answers = pipeline.finish().await.expect("a good end");
        for (number, (action, place)) in named.into_iter().enumerate() {
            let answer = answers.remove(&(number as u64 + 1)).expect("an answer");
            let refused = match &answer {
                Answer::Failure(failure) => Some(failure.reason()),
                _ => None,
            };
            let expected = self.model.refusal(action, place);
            prop_assert_eq!(refused, expected, "{:?} {:?}", action, answer);
            if refused.is_none() {
                let id = match answer {
                    Answer::Message(sent) => sent.message_id,
                    _ => 0,
                };
                self.model.apply(action, place, id);
                if let (Action::Send { .. }, Some(sent)) = (action, self.model.messages.last_mut())
                {
                    sent.body = format!("together {number}");
                }
            }
        }
        Ok(())
    }

    fn request(&self, action: &Action, place: Option<usize>, text_of: &str) -> Request {
        let Self { users, model, .. } = self;
        let message_id = place.map_or(0, |place| model.messages[place].id);
        match action {
            Action::Send { from, to, reply_to } => Request::Message(SendMessageRequest {
                reply_to_id: reply_to.as_ref().map(|_| message_id),
                ..text(&users[*from], &users[*to], text_of)
            }),
            Action::Upload { .. } => unreachable!("a file is not sent in a pipeline"),
            Action::Dispatch { user, .. } => Request::Attachment(DispatchAttachmentRequest {
                sender_id: users[*user].clone(),
                message_id,
            }),
            Action::Edit { user, text, .. } => Request::Edit(EditMessageRequest {
                user_id: users[*user].clone(),
                message_id,
                body: edited(*text),
                meta_json: None,
            }),
            Action::Delete { user, for_everyone, .. } => Request::Delete(DeleteMessageRequest {
                user_id: users[*user].clone(),
                message_id,
                for_everyone: *for_everyone,
            }),
            Action::Mark { user, peer, is_seen: true, .. } => Request::Seen(MarkSeenRequest {
                user_id: users[*user].clone(),
                peer_id: users[*peer].clone(),
                up_to_id: message_id,
            }),
            Action::Block { user, peer, blocks } => {
                let (user_id, peer_id) = (users[*user].clone(), users[*peer].clone());
                if *blocks {
                    Request::Block(BlockUserRequest { user_id, peer_id })
                } else {
                    Request::Unblock(UnblockUserRequest { user_id, peer_id })
                }
            }
            Action::Mark { user, peer, is_seen: false, .. } => {
                Request::Delivered(MarkDeliveredRequest {
                    user_id: users[*user].clone(),
                    peer_id: users[*peer].clone(),
                    up_to_id: message_id,
                })
            }
        }
    }

    /// Gives the id of a new message.
    async fn call(&mut self, action: &Action, place: Option<usize>) -> Result<i64, Status> {
        self.acted += 1;
        let (core, Self { users, model, .. }) = (self.core(), &*self);
        let named = place.map_or(0, |place| model.messages[place].id);
        match action {
            Action::Send { from, to, reply_to } => {
                let reply_to_id = reply_to.as_ref().map(|_| named);
                let text = text(&users[*from], &users[*to], &model.next_text());
                let request = SendMessageRequest { reply_to_id, ..text };
                return Ok(core.chat().send_message(request).await?.into_inner().message_id);
            }
            Action::Upload { from, to } => {
                let file = upload(core, &users[*from], &users[*to], "a.txt", b"text").await?;
                return Ok(file.id);
            }
            Action::Dispatch { user, .. } => drop(dispatch(core, &users[*user], named).await?),
            Action::Edit { user, text, .. } => {
                core.edit(&users[*user], named, &edited(*text)).await?;
            }
            Action::Delete { user, for_everyone, .. } => {
                core.delete(&users[*user], named, *for_everyone).await?;
            }
            Action::Mark { user, peer, is_seen, .. } => {
                let (one, two) = (&users[*user], &users[*peer]);
                let (seen, delivered) = model.marks(*user, *peer);
                let state = if *is_seen {
                    let state = core.seen(one, two, named).await?;
                    assert_eq!(state.seen_id, seen.max(named));
                    state
                } else {
                    core.delivered(one, two, named).await?
                };
                assert_eq!(state.delivered_id, delivered.max(named));
            }
            Action::Block { user, peer, blocks: true } => {
                core.block(&users[*user], &users[*peer]).await?;
            }
            Action::Block { user, peer, blocks: false } => {
                core.unblock(&users[*user], &users[*peer]).await?;
            }
        }
        Ok(0)
    }

    /// Whether a conversation is what the model says, for one of its users.
    async fn check(&self, user: usize, peer: usize) -> Result<(), TestCaseError> {
        let (core, Self { users, model, .. }) = (self.core(), self);
        let history = core.history(&users[user], &users[peer]).await.expect("a history");
        let (seen, delivered) = model.marks(user, peer);
        let (peer_seen, peer_delivered) = model.shown_marks(peer, user);
        // Both see a file from its upload on.
        let is_there = |it: &&Stored| {
            it.is_between(user, peer) && !it.hidden[user] && (it.sender == user || !it.is_swallowed)
        };
        let expected: Vec<_> = model
            .messages
            .iter()
            .filter(is_there)
            .map(|it| {
                let mark = if it.sender == user { peer_seen } else { seen };
                (it.id, it.body_for(user), it.is_deleted, it.is_sent && it.id <= mark)
            })
            .collect();
        let found = history.iter().map(|it| (it.id, it.body.as_str(), it.deleted, it.seen));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        let last_id = model.last_id(user, peer);
        if last_id == 0 {
            prop_assert!(core.thread(&users[user], &users[peer]).await.is_err());
            return Ok(());
        }
        let state = core.state(&users[user], &users[peer]).await;
        let expected = ThreadState {
            thread_id: state.thread_id,
            peer_id: users[peer].clone(),
            last_id,
            unread: i32::try_from(model.unread(user, peer)).expect("few"),
            seen_id: seen,
            delivered_id: delivered,
            // A mark may be on what the user never saw.
            peer_seen_id: peer_seen.min(last_id),
            peer_delivered_id: peer_delivered.min(last_id),
            blocked: model.blocks.contains(&(user, peer)),
            rev: state.rev,
        };
        prop_assert_eq!(state, expected);
        Ok(())
    }

    async fn check_list(&self, user: usize) -> Result<(), TestCaseError> {
        let (core, Self { users, model, .. }) = (self.core(), self);
        let page = core.thread_page(&users[user], 200, "").await.expect("a page");
        let mut expected: Vec<_> = (0..USERS)
            .filter(|peer| *peer != user)
            .map(|peer| (model.last_id(user, peer), users[peer].clone()))
            .filter(|(last_id, _)| *last_id > 0)
            .collect();
        expected.sort_unstable_by(|one, other| other.cmp(one));
        let state = |thread: netrox_proto::v1::Thread| thread.state.expect("a state");
        let found = page.threads.into_iter().map(state).map(|state| (state.last_id, state.peer_id));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        let unread: usize = (0..USERS)
            .filter(|peer| *peer != user && !model.blocks.contains(&(user, *peer)))
            .map(|peer| model.unread(user, peer))
            .sum();
        prop_assert_eq!(page.unread_total as usize, unread);
        Ok(())
    }

    /// Folds what a subscription brings on top of what is held.
    async fn follow(&self, user: usize, held: &mut Held) -> Result<(), TestCaseError> {
        let (core, Self { users, .. }) = (self.core(), self);
        let request = SubscribeRequest { user_id: users[user].clone(), ..Default::default() };
        let end = Subscription::try_open(core, request).await.expect("open").last_seq();
        let mut feed = Subscription::with_threads(core, &users[user], Some(held.seq)).await;
        while feed.last_seq() < end || feed.has_more() {
            let event = feed.event().await;
            held.take(event.change.expect("a change"));
        }
        held.seq = end;
        self.holds(user, held)
    }

    /// Whether a device holds what the model says.
    fn holds(&self, user: usize, held: &Held) -> Result<(), TestCaseError> {
        let Self { users, model, .. } = self;
        for it in &model.messages {
            let has = held.messages.get(&it.id);
            prop_assert_eq!(has.is_some(), it.is_known_to(user), "{:?}", it);
            let Some(has) = has else { continue };
            let body = if it.hidden[user] { "" } else { it.body_for(user) };
            prop_assert_eq!(
                (has.body.as_str(), has.deleted, has.hidden),
                (body, it.is_deleted, it.hidden[user])
            );
        }
        for peer in (0..USERS).filter(|peer| *peer != user) {
            let id = &users[peer];
            prop_assert_eq!(held.unread(id), model.unread(user, peer), "{} of {}", user, peer);
            if let Some(state) = held.states.get(id) {
                let marks = (state.seen_id, state.delivered_id);
                let peers = (state.peer_seen_id, state.peer_delivered_id);
                // Of what the user had been shown by then.
                let (seen, delivered) = model.shown_marks(peer, user);
                prop_assert_eq!(peers, (seen.min(state.last_id), delivered.min(state.last_id)));
                prop_assert_eq!(state.blocked, model.blocks.contains(&(user, peer)));
                // One's own "delivered" is no change for one's devices.
                prop_assert_eq!(marks.0, model.marks(user, peer).0);
            }
        }
        Ok(())
    }
}

fn stored(id: i64, sender: usize, receiver: usize, body: String, is_file: bool) -> Stored {
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

/// What a client holds (PROTOCOL-2 section 10).
#[derive(Debug, Default)]
struct Held {
    seq: u64,
    messages: BTreeMap<i64, Message>,
    /// By peer.
    states: BTreeMap<String, ThreadState>,
}

impl Held {
    fn take(&mut self, change: Change) {
        match change {
            Change::Message(message) => {
                let newer = self.messages.get(&message.id).is_none_or(|it| it.rev <= message.rev);
                if newer {
                    self.messages.insert(message.id, message);
                }
            }
            Change::Thread(state) => {
                let newer = self.states.get(&state.peer_id).is_none_or(|it| it.rev <= state.rev);
                if newer {
                    self.states.insert(state.peer_id.clone(), state);
                }
            }
            other @ (Change::Typing(_) | Change::Presence(_) | Change::User(_)) => {
                panic!("nobody asked for it: {other:?}")
            }
        }
    }

    /// That of the newest state, and what is held above it (PROTOCOL-2 section 4).
    fn unread(&self, peer: &str) -> usize {
        let state = self.states.get(peer);
        let (last_id, unread) =
            state.map_or((0, 0), |state| (state.last_id, state.unread.unsigned_abs() as usize));
        let above = self.messages.values().filter(|it| it.sender_id == peer && it.id > last_id);
        unread + above.filter(|it| !it.deleted && !it.hidden).count()
    }
}

/// What each user's devices hold that were connected all the time.
async fn follow_live(
    world: &World,
    feeds: &mut [Subscription],
    held: &mut [Held],
) -> Result<(), TestCaseError> {
    for (user, (feed, held)) in feeds.iter_mut().zip(held).enumerate() {
        let request = SubscribeRequest { user_id: world.users[user].clone(), ..Default::default() };
        let end = Subscription::try_open(world.core(), request).await.expect("open").last_seq();
        while feed.last_seq() < end || feed.has_more() {
            held.take(feed.event().await.change.expect("a change"));
        }
        world.holds(user, held)?;
    }
    Ok(())
}

async fn run_case(
    world: &mut World,
    actions: &[Action],
    together: usize,
    break_at: usize,
) -> Result<(), TestCaseError> {
    world.users = world.core().users().await;
    world.model = Model::default();
    let mut held: [Held; USERS] = Default::default();
    let mut held_live: [Held; USERS] = Default::default();
    let mut feeds = Vec::new();
    for (user, connection) in world.users.iter().zip(world.connections.iter().cycle()) {
        feeds.push(Subscription::with_threads(connection, user, None).await);
    }
    let mut place = 0;
    for actions in actions.chunks(together) {
        match actions {
            [action] => world.act(action).await?,
            actions => world.act_together(actions).await?,
        }
        let reached = place..place + actions.len();
        place = reached.end;
        if reached.contains(&break_at) {
            for (user, held) in held.iter_mut().enumerate() {
                world.follow(user, held).await?;
            }
            follow_live(world, &mut feeds, &mut held_live).await?;
        }
    }
    follow_live(world, &mut feeds, &mut held_live).await?;
    for (user, held) in held.iter_mut().enumerate() {
        for peer in (0..USERS).filter(|peer| *peer != user) {
            world.check(user, peer).await?;
        }
        world.check_list(user).await?;
        world.follow(user, held).await?;
        world.follow(user, &mut Held::default()).await?;
    }
    Ok(())
}

/// On cores of one database, each action on the next.
pub(crate) async fn run(connections: Vec<Connection>, cases: u32) {
    let world = Arc::new(Mutex::new(World::new(connections)));
    let handle = Handle::current();
    let tried = tokio::task::spawn_blocking(move || {
        let cases = Config { cases, failure_persistence: None, ..Config::default() };
        let actions = (proptest::collection::vec(action(), 1..40), 1..6_usize, any::<Index>());
        TestRunner::new(cases).run(&actions, |(actions, together, break_at)| {
            handle.block_on(async {
                let break_at = break_at.index(actions.len());
                run_case(&mut *world.lock().await, &actions, together, break_at).await
            })
        })
    });
    if let Err(error) = tried.await.expect("the cases") {
        panic!("{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_actions_leave_what_the_contract_says() {
    let core = Core::start().await;
    run(vec![core.connect().await], 24).await;
}
