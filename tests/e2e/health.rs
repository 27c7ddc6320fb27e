use netrox_harness::{Arrangement, TestChat, each};

each![healthz_and_readyz_are_200_without_a_token];

async fn healthz_and_readyz_are_200_without_a_token(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(chat.get(path).send().await.status, 200, "{path}");
    }
}
