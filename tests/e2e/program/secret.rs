//! Generated secrets, secrets in files, and rotation.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use netrox_harness::{
    Arrangement, Role, TestChat, User, each, settings::SERVICE_TOKEN, token::Claims,
};
use netrox_proto::v1::{GetUsersRequest, directory_service_client::DirectoryServiceClient};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("an entry").permissions().mode() & 0o777
}

fn contents(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a secret").trim().to_owned()
}

each![
    secrets_come_from_files;
    serve: generated_secrets_are_private_and_last;
    split: several_service_tokens_allow_rotation
];

async fn generated_secrets_are_private_and_last(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement);
    let mut chat = builder.unset("jwt-secret").unset("service-token").start().await;
    let data_dir = chat.data_dir();
    assert_eq!(mode(&data_dir), 0o700);
    let files = [data_dir.join("jwt-secret"), data_dir.join("service-token")];
    let secrets = files.each_ref().map(|file| contents(file));
    for (file, secret) in files.iter().zip(&secrets) {
        assert_eq!(mode(file), 0o600, "{file:?}");
        assert!(secret.len() >= 32, "{file:?} holds {} bytes", secret.len());
    }
    assert_ne!(secrets[0], secrets[1]);

    let ada = chat.stranger("ada");
    let ada = ada.with_token(Claims::access(&ada.id).sign(&secrets[0]));
    assert_eq!(chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await.status, 200);
    chat.restart(Role::Serve).await;
    assert_eq!(files.each_ref().map(|file| contents(file)), secrets);
    assert_eq!(chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await.status, 200);

    let credential = netrox_harness::grpc::Credential::new(&secrets[1]);
    let mut directory = DirectoryServiceClient::with_interceptor(chat.channel(), credential);
    let request = GetUsersRequest { user_ids: vec![ada.id], ..Default::default() };
    let found = directory.get_users(request).await.expect("users").into_inner();
    assert_eq!(found.users.len(), 1);
}

async fn secrets_come_from_files(arrangement: Arrangement) {
    let secret = "a secret in a file, long enough to be one";
    let service_token = "a-service-token-in-a-file-0123456789";
    let directory = tempfile::tempdir().expect("a directory");
    let secret_file = directory.path().join("secret");
    let token_file = directory.path().join("service-token");
    std::fs::write(&secret_file, secret).expect("write");
    std::fs::write(&token_file, service_token).expect("write");
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .unset("service-token")
        .set("jwt-secret-file", &secret_file)
        .set("service-token-file", &token_file)
        .start()
        .await;
    let ada = User::new("ada", secret);
    assert_eq!(chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await.status, 200);
    assert!(!chat.data_dir().join("jwt-secret").exists());
}

async fn several_service_tokens_allow_rotation(arrangement: Arrangement) {
    let both = format!("an-old-service-token-0123456789,{SERVICE_TOKEN}");
    let variable = "NETROX_CHAT_SERVICE_TOKEN";
    let chat = TestChat::builder(arrangement)
        .variable(Role::Core(0), variable, both)
        .variable(Role::Edge(0), variable, "an-old-service-token-0123456789")
        .start()
        .await;
    // The edge still has the old one, other services the new one.
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    let request = GetUsersRequest { user_ids: vec![ada.id], ..Default::default() };
    let found = chat.directory_service().get_users(request).await.expect("users").into_inner();
    assert_eq!(found.users.len(), 1);
}
