//! What a request is called: by who makes it, by who answers, and by whom the core is asked.

use netrox_proto::v1::{ErrorReason, Failure};
use uuid::Uuid;

use super::message::PATH;
use crate::stub_edge::{ALICE, Answer, StubEdge, bearer};

fn id_of(answer: &Answer) -> String {
    let mut values = answer.headers.get_all("x-request-id").iter();
    let id = values.next().expect("an id").to_str().expect("ASCII").to_owned();
    assert!(values.next().is_none(), "{:?}", answer.headers);
    id
}

#[tokio::test]
async fn what_a_documented_client_is_given_has_none_unless_the_server_failed() {
    let edge = StubEdge::start().await;
    let alice = bearer(ALICE);
    let authorization = ("authorization", &*alice);
    for (path, headers, status) in [
        ("/healthz", vec![], 200),
        ("/nowhere", vec![], 404),
        (PATH, vec![], 401),
        ("/ws/chat/room/", vec![authorization], 426),
        ("/chat/get-user-threads/", vec![authorization], 200),
    ] {
        let answer = edge.get(path, &headers).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.headers.contains_key("x-request-id"), "{path}");
        let named = [headers, vec![("x-request-id", "mine")]].concat();
        assert_eq!(id_of(&edge.get(path, &named).await), "mine", "{path}");
    }
    edge.core.state().is_unhealthy = true;
    let answer = edge.get("/readyz", &[]).await;
    assert_eq!(answer.status, 503);
    assert!(id_of(&answer).parse::<Uuid>().is_ok());
}

#[tokio::test]
async fn the_one_of_a_client_is_taken_if_it_is_short_and_plain() {
    let edge = StubEdge::start().await;
    let (short, long) = ("x".repeat(64), "x".repeat(65));
    for (name, value, taken) in [
        ("x-request-id", "mine-1", Some("mine-1")),
        ("x-request-id", &short, Some(&*short)),
        ("x-request-id", &long, None),
        ("x-request-id", "a b", None),
        ("x-request-id", "<script>", None),
        ("x-request-id", "", None),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        ),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736", None),
    ] {
        let id = id_of(&edge.get("/healthz", &[(name, value)]).await);
        match taken {
            Some(taken) => assert_eq!(id, taken),
            None => assert!(id.parse::<Uuid>().is_ok(), "{name}: {value}: {id}"),
        }
    }
}

#[tokio::test]
async fn an_internal_error_repeats_it() {
    let edge = StubEdge::start().await;
    edge.core.state().messages =
        Some(Box::new(|_| Err(Failure::new(ErrorReason::Internal, "why").into())));
    let alice = bearer(ALICE);
    for given in [None, Some("mine-2")] {
        let mut headers = vec![("authorization", &*alice)];
        headers.extend(given.map(|given| ("x-request-id", given)));
        let answer = edge.get(PATH, &headers).await;
        assert_eq!(answer.status, 500);
        let id = id_of(&answer);
        assert_eq!(answer.json()["message"], format!("Internal error {id}"));
        assert!(given.is_none_or(|given| given == id), "{id}");
        let asked = edge.core.state().request_ids.last().cloned();
        assert_eq!(asked.as_deref(), Some(&*id), "what the core was asked with");
    }
}
