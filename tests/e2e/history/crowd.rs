//! All users of a deployment, and what was sent to them.

use netrox_harness::{Role, TestChat, User, grpc::Authorized, within};
use netrox_proto::v1::{
    SendMessageRequest, SendMessageResponse, UpsertUsersRequest, UserChange,
    chat_service_client::ChatServiceClient,
};
use uuid::Uuid;

use super::{
    book::Book,
    reader::{Reader, Writes},
    stream::{PAUSE, is_transient},
    witness::{Fate, Witness},
};

/// Whose newest messages may get lost.
pub(super) const BOB: usize = 0;
/// Whose do not; Ada follows, who writes to both.
const CYD: usize = 1;
/// Who comes last, and may get lost with all that she was sent.
const EVE: usize = 3;

/// How many each of the others is sent where Bob is sent many.
const FEW: usize = 3;
/// How many a socket is shown that was opened last.
const NEWEST: usize = 5;

pub(super) struct Crowd {
    /// Of the readers that there are.
    readers: Vec<Reader>,
    book: Book,
    /// No text is sent twice.
    sent: usize,
    /// What was stored for Bob, with its id.
    requests: Vec<(i64, SendMessageRequest)>,
}

impl Crowd {
    /// Everybody but Eve, with nothing sent yet.
    pub(super) async fn gather(chat: &TestChat) -> Self {
        let [ada, bob, cyd, dan] = ["ada", "bob", "cyd", "dan"].map(|name| chat.user(name));
        let (ada, bob, cyd, dan) = tokio::join!(ada, bob, cyd, dan);
        let readers = vec![
            Reader::new(&bob, &ada, Writes::Never),
            Reader::new(&cyd, &ada, Writes::Never),
            Reader::new(&ada, &dan, Writes::Too),
        ];
        let mut crowd = Self { readers, book: Book::default(), sent: 0, requests: Vec::new() };
        crowd.watch(chat).await;
        crowd
    }

    /// Eve joins as well, and is sent something.
    pub(super) async fn eve_joins(&mut self, chat: &TestChat, core: Role) {
        let eve = chat.user("eve").await;
        let mut eve = Reader::new(&eve, &self.readers[BOB].author, Writes::Never);
        eve.watch(chat).await;
        self.readers.push(eve);
        self.send(chat, core, EVE, "to a new user", FEW).await;
        self.all_shown().await;
    }

    /// Everybody is watched by new sockets and streams, with nothing pending.
    pub(super) async fn watch(&mut self, chat: &TestChat) {
        for reader in &mut self.readers {
            reader.watch(chat).await;
        }
    }

    /// Every reader, and who writes to it.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&User, &User)> {
        self.readers.iter().map(|reader| (&reader.user, &reader.author))
    }

    /// A message that was not sent before.
    pub(super) fn request(&mut self, reader: usize, what: &str) -> SendMessageRequest {
        let Reader { user, author, .. } = &self.readers[reader];
        self.sent += 1;
        SendMessageRequest {
            sender_id: author.id.clone(),
            receiver_id: user.id.clone(),
            body: format!("canary {what} {}", self.sent),
            client_ref: Some(Uuid::new_v4().to_string()),
            ..Default::default()
        }
    }

    /// Notes what was stored.
    pub(super) fn stored(&mut self, reader: usize, id: i64, text: &str) {
        self.book.note(id, text);
        self.readers[reader].push(id);
        let author = self.readers[reader].author.id.clone();
        for reader in self.readers.iter_mut().filter(|reader| reader.user.id == author) {
            reader.push_written(id);
        }
    }

    /// A service sends so many messages, each until it is stored.
    pub(super) async fn send(
        &mut self,
        chat: &TestChat,
        core: Role,
        reader: usize,
        what: &str,
        count: usize,
    ) {
        let mut service = chat.chat_service_of(core);
        for _ in 0..count {
            let request = self.request(reader, what);
            let answer = within("a message to be stored", send(&mut service, &request)).await;
            self.stored(reader, answer.message_id, &request.body);
            if reader == BOB {
                self.requests.push((answer.message_id, request));
            }
        }
    }

    /// So many to Bob, which he is shown.
    pub(super) async fn send_to_bob(
        &mut self,
        chat: &TestChat,
        core: Role,
        what: &str,
        count: usize,
    ) {
        self.send(chat, core, BOB, what, count).await;
        self.all_shown().await;
    }

    /// So many to Bob, and a few to the others.
    pub(super) async fn send_all(&mut self, chat: &TestChat, core: Role, what: &str, count: usize) {
        self.send(chat, core, BOB, what, count).await;
        for reader in CYD..self.readers.len() {
            self.send(chat, core, reader, what, FEW).await;
        }
    }

    /// How many messages each reader has.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.readers.iter().map(|reader| reader.stored.len()).collect()
    }

    /// The database has gone back, and each reader has only so many messages: none who came later.
    pub(super) fn go_back(&mut self, counts: &[usize]) {
        for (index, reader) in self.readers.iter_mut().enumerate() {
            reader.truncate(counts.get(index).copied().unwrap_or_default());
        }
    }

    /// Whether Bob lost anything.
    pub(super) fn bob_lost(&self) -> bool {
        self.readers[BOB].is_lost()
    }

    /// A service knows Eve, whether the database does or not.
    pub(super) async fn eve_is_known(&self, chat: &TestChat) {
        let Some(eve) = self.readers.get(EVE) else { return };
        let mut directory = chat.directory_service();
        let known = async {
            loop {
                let change = UserChange { id: eve.user.id.clone(), ..Default::default() };
                let request = UpsertUsersRequest { users: vec![change] };
                match directory.upsert_users(request).await {
                    Ok(_) => return,
                    Err(status) if is_transient(&status) => tokio::time::sleep(PAUSE).await,
                    Err(status) => panic!("{status:?}"),
                }
            }
        };
        within("a user of the directory", known).await;
    }

    pub(super) fn bob(&self) -> &Reader {
        &self.readers[BOB]
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// The newest that was stored for Bob and is there still, or is not.
    pub(super) fn newest_request(&self, is_kept: bool) -> Option<(i64, SendMessageRequest)> {
        let stored = &self.bob().stored;
        self.requests.iter().rfind(|(id, _)| stored.contains(id) == is_kept).cloned()
    }

    /// One that was lost is stored again.
    pub(super) fn stored_again(&mut self, lost: i64, id: i64, request: SendMessageRequest) {
        assert!(!self.book.knows(id), "{}: {lost} is {id} now, which was another", request.body);
        self.requests.retain(|(before, _)| *before != lost);
        self.stored(BOB, id, &request.body);
        self.requests.push((id, request));
    }

    /// Everybody is shown everything, or told that it cannot be.
    pub(super) async fn all_shown(&mut self) {
        let others_lost = self.readers.iter().any(Reader::is_lost);
        for reader in &mut self.readers {
            reader.follow(&self.book, others_lost).await;
        }
    }

    /// Sockets that are opened when all that was sent before is shown are shown all that is sent from now on, and
    /// nothing else.
    pub(super) async fn newcomers_are_shown_everything(&mut self, chat: &TestChat, core: Role) {
        chat.ready().await;
        let bob = &self.readers[BOB].user;
        let mut newcomers = Vec::new();
        for (index, edge) in chat.edges().iter().enumerate() {
            let name = format!("a new socket of edge {index}");
            newcomers.push(Witness::socket(name, edge.connect(bob).await));
        }
        let before = self.readers[BOB].stored.len();
        self.send(chat, core, BOB, "newest", NEWEST).await;
        let newest = &self.readers[BOB].stored[before..];
        for mut newcomer in newcomers {
            let fate = newcomer.follow(&self.book, newest).await;
            assert_eq!(fate, Fate::Stays, "a new socket was closed");
        }
        self.all_shown().await;
    }

    /// What is shown over REST is what is stored, and no id was given to two messages.
    pub(super) async fn histories_are_whole(&self, chat: &TestChat) {
        for reader in &self.readers {
            reader.history_is_whole(chat, &self.book).await;
        }
        self.book.no_id_was_given_twice();
    }
}

/// Sends a message until it is stored.
pub(super) async fn send(
    service: &mut ChatServiceClient<Authorized>,
    request: &SendMessageRequest,
) -> SendMessageResponse {
    loop {
        match service.send_message(request.clone()).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) if is_transient(&status) => tokio::time::sleep(PAUSE).await,
            Err(status) => panic!("{}: {status:?}", request.body),
        }
    }
}
