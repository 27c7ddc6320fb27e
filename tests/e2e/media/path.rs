//! A path leads to a stored file or nowhere.

use netrox_harness::{Arrangement, TestChat, each};

use super::uploaded;

each![what_is_not_the_path_of_a_file_is_404];

async fn what_is_not_the_path_of_a_file_is_404(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.txt", "content").await;
    let (day, file) = path.rsplit_once('/').expect("a directory");
    let id = file.trim_end_matches(".txt");
    let paths = [
        "/mediafiles/".to_owned(),
        "/mediafiles".to_owned(),
        "/mediafiles/attachments/".to_owned(),
        day.to_owned(),
        format!("{day}/"),
        format!("{day}/{id}"),
        format!("{day}/{id}.png"),
        format!("{day}/{id}.TXT"),
        format!("{path}/"),
        format!("{path}%00"),
        format!("{path}."),
        format!("{day}//{file}"),
        format!("{day}/./{file}"),
        format!("{day}/x/../{file}"),
        format!("{day}/{}", file.to_uppercase()),
        format!("/mediafiles/attachments/2000/01/01/{file}"),
        format!("{day}/00000000-0000-4000-8000-000000000000.txt"),
        "/mediafiles/../chat.db".to_owned(),
        "/mediafiles/../../data/chat.db".to_owned(),
        "/mediafiles/attachments/../../chat.db".to_owned(),
        "/mediafiles/%2e%2e/chat.db".to_owned(),
        "/mediafiles/..%2fchat.db".to_owned(),
        "/mediafiles/%2e%2e%2fchat.db".to_owned(),
        "/mediafiles/..%5cchat.db".to_owned(),
        "/mediafiles//etc/passwd".to_owned(),
        "/mediafiles/%2fetc%2fpasswd".to_owned(),
        format!("{day}/..%2f..%2f..%2f..%2f..%2fchat.db"),
        "/mediafiles/attachments/%ff%fe".to_owned(),
        format!("/mediafiles/attachments/{}", "x/".repeat(2_000)),
    ];
    for path in &paths {
        chat.get(path).send().await.assert_failure(404);
    }
    assert_eq!(chat.get(&path).send().await.text(), "content");
}
