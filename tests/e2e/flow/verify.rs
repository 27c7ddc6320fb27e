//! What is stored, held against what was shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use netrox_harness::{Response, TestChat, User, eventually, rest::Request};
use serde_json::Value;

use super::{
    Cast, Flow, ledger::Received, message_id, parse_text, receiver_of, second::Second,
    uploader::content_of,
};

impl Flow {
    /// Stops the traffic and checks the promises against what is stored now:
    ///
    /// * whatever a receiver got, and whatever an answer showed, is there, once and unchanged;
    /// * what was refused as not stored is not there;
    /// * what a sender sent on one connection keeps its order, in the history and on every connection;
    /// * every connection of a receiver showed a part of what is stored without a hole;
    /// * no connection, and no receiver, got a message twice;
    /// * every file of the history can be loaded, and no other file is kept;
    /// * what holds for the second generation ([`Second::verify`](super::second::Second::verify)).
    ///
    /// Gives the number of messages stored, without those of the second generation.
    pub(crate) async fn verify(&mut self, chat: &TestChat) -> usize {
        self.stop_sending();
        let Self { second, tasks, .. } = self;
        let look = || {
            // Who only sent has stopped.
            if let Some(ended) = tasks.try_join_next() {
                ended.expect("a task of the traffic");
            }
        };
        if let Some(second) = second {
            let count = second.verify(chat, look).await;
            eprintln!("second generation: stored {count}, {}", second.summary());
        }
        self.stop().await;
        let mut listed = self.ledger.all_listed();
        let never_stored = self.ledger.all_never_stored();
        let begins = self.ledger.sender_begins();
        let mut stored = 0;
        let mut files = BTreeMap::new();
        let mut threads = HashMap::new();
        for (index, receiver) in self.cast.receivers.iter().enumerate() {
            let received = self.ledger.received_by(index);
            check_connections(&received, &begins);
            let mut of_author = HashMap::<_, Vec<_>>::new();
            for received in &received {
                let author = received.frame["sender_id"].as_str().expect("a sender");
                of_author.entry(author.to_owned()).or_default().push(received);
            }
            let mut texts = Vec::new();
            for author in self.cast.authors_of(index) {
                let history = settled_history(chat, receiver, author).await;
                check_history(&history, index, &begins);
                stored += history.len();
                let thread = history.first().map(|message| message["thread"].clone());
                let is_its = |message: &Value| Some(&message["thread"]) == thread.as_ref();
                assert!(history.iter().all(is_its), "several threads");
                threads.insert((author.id.clone(), receiver.id.clone()), thread);
                let by_id: HashMap<_, _> =
                    history.iter().map(|message| (message_id(message), message)).collect();
                for received in of_author.remove(&author.id).unwrap_or_default() {
                    let message = by_id.get(&received.id());
                    check_frame(received, message.unwrap_or_else(|| lost(&received.frame)));
                }
                for (id, message) in &by_id {
                    if let Some(shown) = listed.remove(id) {
                        assert_eq!(&shown, *message, "shown, and stored as something else");
                    }
                    let text = message["message"].as_str().expect("a text");
                    assert!(!never_stored.contains(text), "refused, and stored: {text:?}");
                }
                for message in &history {
                    match message["attached_file"].as_str() {
                        None => texts.push(message_id(message)),
                        Some(path) => {
                            let name = message["attached_file_name"].as_str().expect("a name");
                            files.insert(path.to_owned(), name.to_owned());
                        }
                    }
                }
            }
            assert!(of_author.is_empty(), "from a stranger: {of_author:?}");
            texts.sort_unstable();
            for (connection, received) in self.ledger.texts_by_connection(index) {
                check_run(&texts, &received, connection);
            }
        }
        eprintln!("stored {stored}, {}", self.ledger.summary());
        assert!(listed.is_empty(), "shown, and not stored: {listed:?}");
        self.check_threads(chat, &threads).await;
        check_files(chat, &files, &self.other_files).await;
        stored
    }

    /// Stops the senders and waits until every receiver got all that is stored on the connection that it
    /// has now, to its end. Where clients were to keep their connections, none may have ended.
    pub(crate) async fn verify_live(&mut self, chat: &TestChat) {
        self.stop_sending();
        for (index, receiver) in self.cast.receivers.iter().enumerate() {
            eventually("all that is stored", async || {
                let mut stored = Vec::new();
                for author in self.cast.authors_of(index) {
                    let history = history(chat, receiver, author).await?;
                    let texts = history.iter().filter(|message| message["attached_file"].is_null());
                    stored.extend(texts.map(message_id));
                }
                stored.sort_unstable();
                let (_, received) = self.ledger.texts_by_connection(index).pop_last()?;
                (stored.last() == received.last()).then_some(())
            })
            .await;
            if self.cast.answered {
                let ends = self.ledger.ends_of(index);
                assert_eq!(ends, [], "the connection of a receiver ended");
            }
        }
        if self.cast.answered {
            assert_eq!(self.ledger.sender_ends(), 0, "the connection of a sender ended");
            let ends = self.second.as_ref().map_or(0, Second::ends);
            assert_eq!(ends, 0, "a connection of the second generation ended");
        }
    }

    /// Every conversation is in the lists of both.
    async fn check_threads(
        &self,
        chat: &TestChat,
        threads: &HashMap<(String, String), Option<Value>>,
    ) {
        let Cast { senders, uploaders, receivers, .. } = &*self.cast;
        for user in senders.iter().chain(uploaders).chain(receivers) {
            let mut listed = list_threads(chat, user).await;
            for ((author, receiver), thread) in threads {
                let peer = if *author == user.id { receiver } else { author };
                if *author == user.id || *receiver == user.id {
                    assert_eq!(listed.remove(peer), *thread);
                }
            }
            assert!(listed.is_empty(), "threads with strangers: {listed:?}");
        }
    }
}

/// The ids of a user's threads by their peers.
async fn list_threads(chat: &TestChat, user: &User) -> HashMap<String, Value> {
    let request = || chat.edge_of(user).get("/chat/get-user-threads/").bearer(&user.token);
    let answer = eventually("a list", async || answer(request()).await).await.json();
    let threads = answer["entity"].as_array().expect("threads").iter();
    let listed = threads.map(|thread| {
        let of = |name: &str| thread[name]["id"].as_str().expect("a user").to_owned();
        let (one, two) = (of("user_one"), of("user_two"));
        (if one == user.id { two } else { one }, thread["id"].clone())
    });
    listed.collect()
}

fn lost<T>(frame: &Value) -> T {
    panic!("lost: {frame}")
}

/// None where it is refused for the moment: on a machine that stands still a read may take longer than it may.
async fn answer(request: Request) -> Option<Response> {
    let answer = request.try_send().await.ok()?;
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    (answer.status == 200).then_some(answer)
}

async fn history(chat: &TestChat, reader: &User, peer: &User) -> Option<Vec<Value>> {
    let request = chat.edge_of(reader).get(&format!("/chat/messages/{}/", peer.id));
    let answer = answer(request.bearer(&reader.token)).await?.json();
    Some(answer["entity"]["messages"].as_array().expect("messages").clone())
}

/// A conversation as both see it. What was sent last may still be on its way into the store.
async fn settled_history(chat: &TestChat, receiver: &User, author: &User) -> Vec<Value> {
    eventually("one view of a conversation", async || {
        let seen = history(chat, receiver, author).await?;
        (seen == history(chat, author, receiver).await?).then_some(seen)
    })
    .await
}

/// The connection on which a sender sent a number. What was under way on one when it broke may be stored after
/// what was sent on the next.
fn sent_on(begins: &[Vec<u64>], sender: usize, number: u64) -> usize {
    begins[sender].partition_point(|begin| *begin <= number)
}

/// Ids and instants grow, so do the numbers of what was sent on one connection, and each is where it was sent to.
fn check_history(history: &[Value], receiver: usize, begins: &[Vec<u64>]) {
    let created = |message: &Value| message["created"].as_str().expect("an instant").to_owned();
    for pair in history.windows(2) {
        assert!(message_id(&pair[0]) < message_id(&pair[1]), "{pair:?}");
        assert!(created(&pair[0]) < created(&pair[1]), "{pair:?}");
    }
    let mut last = HashMap::new();
    let mut files = HashSet::new();
    for message in history {
        let text = message["message"].as_str().expect("a text");
        if message["attached_file"].is_null() {
            let (sender, number) = parse_text(text);
            assert_eq!(receiver_of(sender, number), receiver, "{message}");
            let before = last.insert(sent_on(begins, sender, number), number);
            assert!(before < Some(number), "{number} after {before:?}: {message}");
        } else {
            assert!(files.insert(text), "stored twice: {message}");
        }
    }
}

/// What came on one connection is a part of what is stored, in order and without a hole.
fn check_run(stored: &[i64], received: &[i64], connection: usize) {
    let Some(first) = received.first() else { return };
    let begin = stored.binary_search(first).unwrap_or_else(|_| panic!("{first} was lost"));
    // The first connection was there before the first message.
    assert!(connection > 0 || begin == 0, "the first {begin} messages did not come");
    let expected = &stored[begin..(begin + received.len()).min(stored.len())];
    if expected != received {
        let at = expected.iter().zip(received).take_while(|(one, other)| one == other).count();
        let around = |ids: &[i64]| ids[at.saturating_sub(2)..(at + 3).min(ids.len())].to_vec();
        panic!(
            "on connection {connection}: {:?} received, {:?} stored",
            around(received),
            around(expected)
        );
    }
}

/// A frame says what the history says.
fn check_frame(received: &Received, message: &Value) {
    let frame = &received.frame;
    assert_eq!(frame["message_body"], message["message"]);
    assert_eq!(frame["sender_id"], message["sender"]["id"]);
    assert_eq!(frame["receiver_id"], message["receiver"]["id"]);
    if received.is_file() {
        assert_eq!(frame["attached_file_url"], message["attached_file"]);
        assert_eq!(frame["attached_file_name"], message["attached_file_name"]);
        assert_eq!(frame["attached_file_size"], message["attached_file_size"]);
    } else {
        let created = message["created"].as_str().expect("an instant");
        assert_eq!(frame["timestamp"], created.replace('Z', "+00:00"));
    }
}

/// Each message once, and what was sent on one connection in order.
fn check_connections(received: &[Received], begins: &[Vec<u64>]) {
    let mut ids = HashSet::new();
    let mut last = HashMap::new();
    for received in received {
        assert!(ids.insert(received.id()), "received twice: {}", received.frame);
        if !received.is_file() {
            let (sender, number) = parse_text(received.body());
            let sent_on = sent_on(begins, sender, number);
            let before = last.insert((received.connection, sender, sent_on), number);
            assert!(before < Some(number), "{number} of sender {sender} after {before:?}");
        }
    }
}

/// Every attached file can be loaded as it was sent, and nothing is kept that is neither attached nor noted
/// for removal.
async fn check_files(chat: &TestChat, files: &BTreeMap<String, String>, others: &HashSet<String>) {
    for (path, name) in files {
        let answer = eventually(path, async || answer(chat.get(path)).await).await;
        assert!(answer.body == content_of(name), "{name} is not what was sent");
    }
    eventually("the end of files without a message", async || {
        let unfinished = chat.unfinished_files().await;
        let attached = |path: &String| files.contains_key(&format!("/mediafiles/{path}"));
        let mut kept = chat.media_paths().into_iter().filter(|path| !others.contains(path));
        kept.all(|path| attached(&path) || unfinished.contains(&path)).then_some(())
    })
    .await;
}
