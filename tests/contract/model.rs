//! Random actions of three users against a model of what the contract says: after them histories, states of threads and lists are
//! what the model says, and whoever folds the feed has them all. So is what each finds by its words, and who is told of whom.
//!
//! `NETROX_CHAT_TEST_CASES` and `NETROX_CHAT_TEST_SEED` are those of `tests/e2e/v2/model.rs`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use netrox_proto::v1::send_messages_response::Result as Answer;
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use tokio::{runtime::Handle, sync::Mutex};
use uuid::Uuid;

use self::{
    calls::reason,
    check::follow_live,
    held::Held,
    rules::Model,
    told::{Left, Signal},
};
use crate::{
    pipeline::Pipeline,
    presence::Reports,
    running::{Connection, Core},
    search::SEARCH,
    subscribe::Subscription,
    typing::Watcher,
};

mod calls;
mod check;
mod found;
mod held;
mod rules;
mod stored;
mod told;

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
    /// Stores no message and changes none.
    Signal(Signal),
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
        4 => told::signal().prop_map(Action::Signal),
    ]
}

struct World {
    /// To each core, of which each action takes the next.
    connections: Vec<Connection>,
    acted: usize,
    users: [String; USERS],
    /// One more, who has written to all, and is told of at the end of what is looked at.
    fence: String,
    model: Model,
    /// By message: the path, and a link for its sender.
    files: BTreeMap<i64, (String, String)>,
    /// What edges say, and who is shown that others type: of a case.
    edge: Option<Reports>,
    typed: Vec<Watcher>,
    /// In seconds since the epoch.
    began: i64,
    /// Of the last cases.
    left: VecDeque<Left>,
}

impl World {
    fn new(connections: Vec<Connection>) -> Self {
        Self {
            connections,
            acted: 0,
            users: Default::default(),
            fence: String::new(),
            model: Model::default(),
            files: BTreeMap::new(),
            edge: None,
            typed: Vec::new(),
            began: 0,
            left: VecDeque::new(),
        }
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
            .filter(|action| !matches!(action, Action::Upload { .. } | Action::Signal(_)))
            .filter(|action| self.model.can_act(action))
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
        for action in actions.iter().filter(|action| matches!(action, Action::Signal(_))) {
            self.act(action).await?;
        }
        Ok(())
    }
}

async fn run_case(
    world: &mut World,
    actions: &[Action],
    together: usize,
    break_at: usize,
) -> Result<(), TestCaseError> {
    world.model = Model::default();
    world.begin().await;
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
                world.check_found(user).await?;
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
        world.check_found(user).await?;
    }
    world.check_links().await?;
    world.check_typing().await?;
    world.check_presence().await;
    world.end();
    Ok(())
}

/// On cores of one database, each action on the next.
pub(crate) async fn run(connections: Vec<Connection>, cases: u32) {
    let world = Arc::new(Mutex::new(World::new(connections)));
    let (handle, shared) = (Handle::current(), Arc::clone(&world));
    let given = std::env::var("NETROX_CHAT_TEST_SEED").ok();
    let drawn = || Uuid::new_v4().as_u64_pair().0;
    let seed = given.map_or_else(drawn, |seed| seed.parse().expect("a number"));
    eprintln!("NETROX_CHAT_TEST_SEED={seed}");
    let tried = tokio::task::spawn_blocking(move || {
        let cases = Config {
            cases: netrox_harness::cases().unwrap_or(cases),
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            ..Config::default()
        };
        let actions = (proptest::collection::vec(action(), 1..40), 1..6_usize, any::<Index>());
        TestRunner::new(cases).run(&actions, |(actions, together, break_at)| {
            handle.block_on(async {
                let break_at = break_at.index(actions.len());
                run_case(&mut *shared.lock().await, &actions, together, break_at).await
            })
        })
    });
    if let Err(error) = tried.await.expect("the cases") {
        panic!("{error}");
    }
    world.lock().await.check_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_actions_leave_what_the_contract_says() {
    let core = Core::start_with(&[SEARCH]).await;
    run(vec![core.connect().await], 24).await;
}
