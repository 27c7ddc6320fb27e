//! What a call is named with in the details of a refusal (error.proto).

use netrox_proto::v1::{GetMessageRequest, ListThreadsRequest};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::running::Core;

fn named<T>(message: T, name: &'static str, id: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, id.parse().expect("ASCII"));
    request
}

fn id_of(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no info: {status:?}"));
    info.metadata.get("request_id").unwrap_or_else(|| panic!("no id: {status:?}")).clone()
}

#[tokio::test]
async fn a_refusal_names_the_request() {
    let core = Core::start().await;
    let connection = core.connect().await;
    let [ada] = connection.users().await;
    let unknown = GetMessageRequest { user_id: ada, message_id: 7 };
    let mut chat = connection.chat();

    for (name, given, taken) in [
        ("x-request-id", "mine-1", Some("mine-1")),
        ("x-request-id", "not mine", None),
        ("x-request-id", &*"x".repeat(65), None),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        ),
    ] {
        let refused = chat.get_message(named(unknown.clone(), name, given)).await;
        let id = id_of(&refused.expect_err("no such message"));
        match taken {
            Some(taken) => assert_eq!(id, taken),
            None => assert!(id.parse::<Uuid>().is_ok(), "{given}: {id}"),
        }
    }
    let refused = chat.get_message(unknown).await.expect_err("no such message");
    assert!(id_of(&refused).parse::<Uuid>().is_ok(), "{refused:?}");

    let stranger = ListThreadsRequest { user_id: Uuid::new_v4().to_string(), ..Default::default() };
    let refused = chat.list_threads(named(stranger, "x-request-id", "mine-2")).await;
    assert_eq!(id_of(&refused.expect_err("no such user")), "mine-2");
}
