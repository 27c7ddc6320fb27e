//! What is stored, held against what was shown.

use std::collections::{HashMap, HashSet};

use netrox_harness::{TestChat, eventually};
use serde_json::Value;

use super::{Flow, ledger::Received, message_id, parse_text, uploader::content_of};

impl Flow {
    /// Stops the traffic and checks the promises against what is stored now:
    ///
    /// * whatever a receiver got, and whatever an answer showed, is there, once and unchanged;
    /// * what was refused as not stored is not there;
    /// * the order of each sender holds, in the history and on every connection;
    /// * no connection, and no receiver, got a message twice;
    /// * every file of the history can be loaded, and no other file is kept.
    ///
    /// Gives the number of messages stored.
    pub(crate) async fn verify(&mut self, chat: &TestChat) -> usize {
        self.stop().await;
        // What was sent last may still be on its way into the store.
        let mut histories = self.histories(chat).await;
        loop {
            let again = self.histories(chat).await;
            if again == histories {
                break;
            }
            histories = again;
        }
        let mut stored = HashMap::new();
        let mut texts = HashSet::new();
        for [history, other_view] in histories {
            assert_eq!(history, other_view, "two views differ");
            check_order(&history);
            for message in history {
                let text = message["message"].as_str().expect("a text").to_owned();
                assert!(texts.insert(text), "stored twice: {message}");
                stored.insert(message_id(&message), message);
            }
        }
        eprintln!("stored {}, {}", stored.len(), self.ledger.summary());
        for shown in self.ledger.all_listed() {
            assert_eq!(stored.get(&message_id(&shown)), Some(&shown), "shown, and not stored");
        }
        for text in self.ledger.all_never_stored() {
            assert!(!texts.contains(&text), "refused as not stored, and stored: {text:?}");
        }
        for receiver in 0..self.cast.receivers.len() {
            let received = self.ledger.received_by(receiver);
            for received in &received {
                let message = stored.get(&received.id());
                let message = message.unwrap_or_else(|| panic!("lost: {}", received.frame));
                check_frame(received, message);
            }
            check_connections(&received);
        }
        self.check_threads(chat).await;
        check_files(chat, stored.values()).await;
        stored.len()
    }

    /// Waits until every receiver got every message that is stored, though none of their
    /// connections ended: no hole, and no double.
    pub(crate) async fn verify_live(&mut self, chat: &TestChat) {
        self.stop_sending();
        for (index, receiver) in self.cast.receivers.iter().enumerate() {
            for (sender, author) in self.cast.senders.iter().enumerate() {
                eventually("all that is stored", || async {
                    let received = self.ledger.received_by(index).into_iter();
                    let history = chat.history(receiver, author).await;
                    let stored: Vec<_> = history.iter().map(message_id).collect();
                    let of_sender: Vec<_> = received
                        .filter(|received| !received.is_file())
                        .filter(|received| parse_text(received.body()).0 == sender)
                        .map(|received| received.id())
                        .collect();
                    assert!(stored.starts_with(&of_sender), "a hole or a double");
                    (stored == of_sender).then_some(())
                })
                .await;
            }
            assert_eq!(self.ledger.ends_of(index), [], "the connection of a receiver ended");
        }
    }

    /// Every conversation, as each of the two sees it.
    async fn histories(&self, chat: &TestChat) -> Vec<[Vec<Value>; 2]> {
        let mut histories = Vec::new();
        for receiver in &self.cast.receivers {
            for author in self.cast.authors() {
                let one = chat.history(receiver, author).await;
                histories.push([one, chat.history(author, receiver).await]);
            }
        }
        histories
    }

    /// Every conversation is in the lists of both.
    async fn check_threads(&self, chat: &TestChat) {
        for author in self.cast.authors() {
            let answer = chat.get("/chat/get-user-threads/").bearer(&author.token).send().await;
            let answer = answer.json();
            let threads = answer["entity"].as_array().expect("threads");
            for receiver in &self.cast.receivers {
                let history = chat.history(author, receiver).await;
                let thread = history.first().map(|message| &message["thread"]);
                let listed = threads.iter().find(|thread| {
                    thread["user_one"]["id"] == receiver.id.as_str()
                        || thread["user_two"]["id"] == receiver.id.as_str()
                });
                assert_eq!(thread, listed.map(|thread| &thread["id"]));
                assert!(history.iter().all(|message| Some(&message["thread"]) == thread));
            }
        }
    }
}

/// Ids and instants grow, and so do the numbers of a sender's texts.
fn check_order(history: &[Value]) {
    let created = |message: &Value| message["created"].as_str().expect("an instant").to_owned();
    for pair in history.windows(2) {
        assert!(message_id(&pair[0]) < message_id(&pair[1]), "{pair:?}");
        assert!(created(&pair[0]) < created(&pair[1]), "{pair:?}");
        if pair[0]["attached_file"].is_null() {
            let number = |message: &Value| parse_text(message["message"].as_str().expect("text"));
            assert!(number(&pair[0]) < number(&pair[1]), "out of order: {pair:?}");
        }
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

/// Each message once, and each sender in order.
fn check_connections(received: &[Received]) {
    let mut ids = HashSet::new();
    let mut last = HashMap::new();
    for received in received {
        assert!(ids.insert(received.id()), "received twice: {}", received.frame);
        if !received.is_file() {
            let (sender, number) = parse_text(received.body());
            let before = last.insert((received.connection, sender), number);
            assert!(before < Some(number), "{number} of sender {sender} after {before:?}");
        }
    }
}

/// Every attached file can be loaded as it was sent, and nothing else is kept.
async fn check_files(chat: &TestChat, stored: impl Iterator<Item = &Value>) {
    let mut files = 0;
    for message in stored.filter(|message| !message["attached_file"].is_null()) {
        let path = message["attached_file"].as_str().expect("a path");
        let answer = chat.get(path).send().await;
        assert_eq!(answer.status, 200, "{message}: {answer:?}");
        let name = message["attached_file_name"].as_str().expect("a name");
        assert!(answer.body == content_of(name), "{name} is not what was sent");
        files += 1;
    }
    eventually("the end of files without a message", async || {
        (chat.media_files().len() == files).then_some(())
    })
    .await;
}
