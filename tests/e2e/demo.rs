//! `/demo/` behind a proxy on the same machine, which to the server looks like a browser here.

use netrox_harness::{
    Arrangement, TestChat,
    reverse_proxy::{Kind, ReverseProxy},
    run_test,
};

const REFUSED: &str = "The key of the demo is another";

#[tokio::test]
async fn behind_a_proxy_nobody_has_a_token_without_the_key() {
    run_test(behind_a_proxy()).await;
}

async fn behind_a_proxy() {
    let chat = TestChat::builder(Arrangement::Serve).set("demo", "on").start().await;
    let address = chat.edge().address;
    let mut log = chat.log(netrox_harness::Role::Serve);
    let url =
        log.event("the address of the demo", |event| event["demo.url"].as_str().map(str::to_owned));
    let url = url.await;
    let (page, key) = url.split_once("#key=").expect("a key in the fragment");
    assert_eq!(page, format!("http://{address}/demo/"));
    let proxy = ReverseProxy::start(Kind::Nginx, [address; 2]).await;
    let client = proxy.client().await;
    for edge in [client.edge(), chat.edge()] {
        assert_eq!(edge.get("/demo/").send().await.status, 200);
        let token = || edge.request("POST", "/demo/token/alice");
        token().send().await.assert_failure(403);
        for wrong in ["", "0", &key[1..], &key.to_uppercase().replace(char::is_numeric, "A")] {
            let answer = token().header("demo-key", wrong).send().await;
            assert_eq!(answer.status, 403, "{answer:?}");
            assert_eq!(answer.json()["message"], REFUSED);
        }
        let answer = token().header("demo-key", key).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let given = answer.json();
        let me = edge.get("/v2/me").bearer(given["token"].as_str().expect("a token")).send().await;
        assert_eq!(me.json()["user"]["id"], given["user"]["id"]);
        assert_eq!(me.json()["user"]["profile"]["name"], "Alice");
        // The other one is there already, to be written to.
        let peer = given["peer"]["id"].as_str().expect("an id");
        let thread = edge.get(&format!("/v2/threads/{peer}/messages"));
        let token = given["token"].as_str().expect("a token");
        assert_eq!(thread.bearer(token).send().await.status, 200);
    }
    assert!(!proxy.logs().contains(key), "the proxy has seen no key in an address");
}

/// The documented paths answer as ever beside it.
#[tokio::test]
async fn an_edge_without_a_demo_has_no_such_path() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Serve).start().await;
        for path in ["/demo", "/demo/", "/demo/web/index.html"] {
            chat.edge().get(path).send().await.assert_failure(404);
        }
        chat.edge().request("POST", "/demo/token/alice").send().await.assert_failure(404);
    })
    .await;
}
