//! Who may load a file.

use netrox_harness::{Arrangement, TestChat, User, each};

each![the_path_is_enough_by_default, participants_mode_takes_a_token_of_the_two];

/// The path of a file that `ada` has sent to `bob`.
async fn ada_to_bob(chat: &TestChat) -> (User, User, String) {
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    let path = message["attached_file"].as_str().expect("a path").to_owned();
    (ada, bob, path)
}

async fn the_path_is_enough_by_default(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, _, path) = ada_to_bob(&chat).await;
    assert_eq!(chat.get(&path).send().await.text(), "content");
    // A token that means nothing here does no harm.
    assert_eq!(chat.get(&path).bearer("garbage").send().await.text(), "content");
}

async fn participants_mode_takes_a_token_of_the_two(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("media-access", "participants").start().await;
    let (ada, bob, path) = ada_to_bob(&chat).await;
    let carol = chat.user("carol").await;
    for user in [&ada, &bob] {
        assert_eq!(chat.get(&path).bearer(&user.token).send().await.text(), "content");
        let query = format!("{path}?token={}", user.token);
        assert_eq!(chat.get(&query).send().await.text(), "content");
        let head = chat.edge().request("HEAD", &path).bearer(&user.token).send().await;
        assert_eq!(head.status, 200);
    }
    let missing = path.replace(".txt", "");
    let nowhere = chat.get(&missing).bearer(&carol.token).send().await;
    let refused = [
        chat.get(&path),
        chat.get(&path).bearer("garbage"),
        chat.get(&path).bearer(&carol.token),
        chat.get(&format!("{path}?token={}", carol.token)),
        chat.get(&format!("{path}?token=garbage")),
        chat.get(&path).bearer(&carol.token).header("range", "bytes=0-3"),
        chat.get(&path).bearer(&carol.token).header("if-none-match", "*"),
    ];
    for request in refused {
        let answer = request.send().await;
        answer.assert_failure(404);
        assert_eq!(answer.text(), nowhere.text());
    }
}
