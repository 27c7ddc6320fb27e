//! The edges that watch this core, and what they are asked.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::v1::{self, ListSessionsResponse};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, mpsc, watch},
    time::Instant,
};
use uuid::Uuid;

/// For how long an edge that broke off counts as one that does not answer.
const MISSED_FOR: Duration = Duration::from_secs(60);
/// Of them, at most; who is missed beyond it is forgotten.
const MAX_MISSED: usize = 1_000;
/// Questions on their way to an edge; one that takes them no faster does not answer.
const QUESTIONS: usize = 64;
/// Answers on their way to who asked; edges beyond it do not answer.
const ANSWERS: usize = 1_024;

/// A question: its id, and which user it is about.
pub(super) type Question = (Uuid, Uuid);
/// Edges that are told all that is kept at a time: many come at once where a core comes back.
const TELLINGS: usize = 2;

type Said = (String, Vec<v1::Session>);

#[derive(Debug, Clone)]
pub(crate) struct Board {
    state: Arc<Mutex<State>>,
    count: Arc<watch::Sender<usize>>,
    another: Arc<Notify>,
    tellings: Arc<Semaphore>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            count: Arc::default(),
            another: Arc::default(),
            tellings: Arc::new(Semaphore::new(TELLINGS)),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    edges: HashMap<u64, Edge>,
    /// Edges that broke off, and may still have sessions.
    missed: HashMap<String, Instant>,
    /// Questions that were asked here.
    asked: HashMap<Uuid, mpsc::Sender<Said>>,
}

#[derive(Debug)]
struct Edge {
    name: String,
    questions: mpsc::Sender<Question>,
}

/// An edge on the board, until it is dropped.
#[derive(Debug)]
pub(super) struct Posted {
    board: Board,
    id: u64,
    pub(super) questions: mpsc::Receiver<Question>,
    /// It said that it ends.
    pub(super) is_over: bool,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn post(&self, name: &str) -> Posted {
        let (sender, questions) = mpsc::channel(QUESTIONS);
        let (id, count) = {
            let mut state = self.state();
            state.last_id += 1;
            let id = state.last_id;
            state.missed.remove(name);
            state.edges.insert(id, Edge { name: name.to_owned(), questions: sender });
            (id, state.edges.len())
        };
        self.count.send_replace(count);
        self.another.notify_one();
        Posted { board: self.clone(), id, questions, is_over: false }
    }

    /// Each once.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.state().edges.values().map(|edge| edge.name.clone()).collect()
    }

    /// A turn to tell an edge all that is kept; it is never closed.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.tellings.acquire().await.ok()
    }

    /// Returns once an edge watches.
    pub(super) async fn is_watched(&self) {
        // It is there as long as this.
        let _ = self.count.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Returns once another edge has come.
    pub(super) async fn has_another(&self) {
        self.another.notified().await;
    }

    /// Asks the edges that watch this core.
    pub(super) fn ask(&self, id: Uuid, user: Uuid) -> Inquiry {
        let (sender, said) = mpsc::channel(ANSWERS);
        let mut state = self.state();
        let mut awaited: HashSet<String> = state.missed().map(str::to_owned).collect();
        let mut here = HashSet::new();
        for edge in state.edges.values() {
            here.insert(edge.name.clone());
            // One whose questions pile up does not answer.
            let _ = edge.questions.try_send((id, user));
        }
        state.asked.insert(id, sender);
        drop(state);
        awaited.extend(here.iter().cloned());
        let (board, answered, sessions) = (self.clone(), HashSet::new(), Vec::new());
        Inquiry { board, id, here, awaited, answered, said, sessions }
    }

    /// Whether the question was asked here, and the edges of this core know it.
    pub(super) fn has_asked(&self, id: Uuid) -> bool {
        self.state().asked.contains_key(&id)
    }

    /// What an edge of this core answers; given back where the question is another core's.
    pub(super) fn answer(
        &self,
        id: Uuid,
        edge: &str,
        sessions: Vec<v1::Session>,
    ) -> Option<Vec<v1::Session>> {
        let state = self.state();
        let Some(sender) = state.asked.get(&id) else { return Some(sessions) };
        // Whoever asked may not wait any more.
        let _ = sender.try_send((edge.to_owned(), sessions));
        None
    }
}

impl State {
    fn missed(&mut self) -> impl Iterator<Item = &str> {
        self.missed.retain(|_, since| since.elapsed() < MISSED_FOR);
        self.missed.keys().map(String::as_str)
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        let count = {
            let mut state = self.board.state();
            let Some(edge) = state.edges.remove(&self.id) else { return };
            let is_here = state.edges.values().any(|other| other.name == edge.name);
            if !self.is_over && !is_here && state.missed.len() < MAX_MISSED {
                state.missed.insert(edge.name, Instant::now());
            }
            state.edges.len()
        };
        self.board.count.send_replace(count);
    }
}

/// A question and what came of it.
#[derive(Debug)]
pub(super) struct Inquiry {
    board: Board,
    id: Uuid,
    /// Edges that were asked directly.
    here: HashSet<String>,
    awaited: HashSet<String>,
    answered: HashSet<String>,
    said: mpsc::Receiver<Said>,
    sessions: Vec<v1::Session>,
}

impl Inquiry {
    /// These are to answer, too.
    pub(super) fn expect(&mut self, edges: Vec<String>) {
        self.awaited.extend(edges);
    }

    /// Whether edges of other cores are to answer.
    pub(super) fn goes_further(&self) -> bool {
        self.awaited.iter().any(|edge| !self.here.contains(edge))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    pub(super) fn take(&mut self, edge: String, sessions: Vec<v1::Session>) {
        self.awaited.remove(&edge);
        if self.answered.insert(edge) {
            self.sessions.extend(sessions);
        }
    }

    /// The next answer of an edge of this core.
    pub(super) async fn next(&mut self) {
        // The board has the other end as long as this is there.
        if let Some((edge, sessions)) = self.said.recv().await {
            self.take(edge, sessions);
        }
    }

    pub(super) fn end(mut self) -> ListSessionsResponse {
        while let Ok((edge, sessions)) = self.said.try_recv() {
            self.take(edge, sessions);
        }
        let mut silent_edges: Vec<_> = std::mem::take(&mut self.awaited).into_iter().collect();
        silent_edges.sort();
        ListSessionsResponse {
            sessions: std::mem::take(&mut self.sessions),
            is_complete: silent_edges.is_empty(),
            silent_edges,
        }
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        self.board.state().asked.remove(&self.id);
    }
}
