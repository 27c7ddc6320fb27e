use netrox_proto::time::timestamp;

use super::*;

const CREATED: i64 = 1_718_623_701_902_531;

fn user(id: &str, profile_json: Option<&str>) -> v1::User {
    let profile_json = profile_json.map(str::to_owned);
    v1::User {
        id: id.into(),
        email: "codebee345@outlook.com".into(),
        profile_json,
        external_id: None,
    }
}

fn message() -> v1::Message {
    v1::Message {
        id: 30,
        thread_id: 1,
        sender_id: "96bf0d3f-720d-4620-8dee-0f59f997cb51".into(),
        receiver_id: "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437".into(),
        body: "a \"quoted\" line\nand Grüße 👋 \u{1}".into(),
        created: Some(timestamp(CREATED)),
        updated: Some(timestamp(CREATED)),
        seen: false,
        deleted: false,
        attachment: None,
        ..Default::default()
    }
}

fn rendered(message: &v1::Message) -> String {
    let sender = user("96bf0d3f-720d-4620-8dee-0f59f997cb51", None);
    let receiver =
        user("87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437", Some(r#"{"b": [1,2.50], "a":"ü"}"#));
    let participants = Participants::new(&sender, &receiver).expect("JSON");
    participants.render(message).expect("JSON").to_string()
}

async fn body(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(bytes.into()).expect("UTF-8")
}

#[test]
fn a_text_message_has_the_documented_keys_in_order() {
    assert_eq!(
        rendered(&message()),
        concat!(
            r#"{"id":30,"#,
            r#""sender":{"id":"96bf0d3f-720d-4620-8dee-0f59f997cb51","#,
            r#""email":"codebee345@outlook.com","profile":null},"#,
            r#""receiver":{"id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","#,
            r#""email":"codebee345@outlook.com","profile":{"b": [1,2.50], "a":"ü"}},"#,
            r#""attached_file_size":"0kb","#,
            r#""message":"a \"quoted\" line\nand Grüße 👋 \u0001","#,
            r#""updated":"2024-06-17T11:28:21.902531Z","created":"2024-06-17T11:28:21.902531Z","#,
            r#""seen":false,"deleted":false,"#,
            r#""attached_file":null,"attached_file_name":null,"thread":1}"#,
        )
    );
}

#[test]
fn an_edited_message_has_two_times() {
    let mut message = message();
    message.updated = Some(timestamp(CREATED + 1));
    let json = rendered(&message);
    let times = concat!(
        r#""updated":"2024-06-17T11:28:21.902532Z","#,
        r#""created":"2024-06-17T11:28:21.902531Z""#
    );
    assert!(json.contains(times), "{json}");
}

#[test]
fn a_file_message_names_its_file() {
    let mut message = message();
    message.attachment = Some(Box::new(v1::Attachment {
        path: "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg".into(),
        file_name: "pexels-nappy-936119.jpg".into(),
        size: 88_812,
        content_type: "image/jpeg".into(),
        dispatched: None,
    }));
    let json = rendered(&message);
    assert!(json.contains(r#""attached_file_size":"86.73KB","#), "{json}");
    assert!(
        json.ends_with(concat!(
            r#""attached_file":"/mediafiles/attachments/2024/06/17/"#,
            r#"4908f104-b77b-4677-b563-b693a893fef3.jpg","#,
            r#""attached_file_name":"pexels-nappy-936119.jpg","thread":1}"#
        )),
        "{json}"
    );
}

#[test]
fn a_thread_has_the_documented_keys_in_order() {
    let thread = v1::Thread {
        id: 1,
        user_one: Some(user("87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437", None)),
        user_two: Some(user("96bf0d3f-720d-4620-8dee-0f59f997cb51", None)),
        created: Some(timestamp(CREATED)),
        last_activity: Some(timestamp(CREATED + 1)),
        ..Default::default()
    };
    assert_eq!(
        serde_json::to_string(&Thread::from(&thread)).expect("JSON"),
        concat!(
            r#"{"id":1,"#,
            r#""user_one":{"id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","#,
            r#""email":"codebee345@outlook.com","profile":null},"#,
            r#""user_two":{"id":"96bf0d3f-720d-4620-8dee-0f59f997cb51","#,
            r#""email":"codebee345@outlook.com","profile":null},"#,
            r#""craeted":"2024-06-17T11:28:21.902531Z"}"#
        )
    );
}

#[tokio::test]
async fn envelopes_have_the_documented_keys_in_order() {
    let refused = failure(StatusCode::NOT_FOUND, "Invalid receipient");
    assert_eq!(refused.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(
        body(refused).await,
        r#"{"status":"failure","entity":null,"message":"Invalid receipient","success":false}"#
    );
    let answer = success(StatusCode::CREATED, Some(7), Some(UPLOADED)).expect("JSON");
    assert_eq!(
        body(answer).await,
        concat!(
            r#"{"status":"success","entity":7,"#,
            r#""message":"File uploaded and chat created successfully","success":true}"#
        )
    );
}

#[tokio::test]
async fn a_list_in_pieces_is_the_envelope_of_the_whole_list() {
    let thread = |id| v1::Thread { id, ..Default::default() };
    let mut list = List::open(THREADS);
    list.push_thread(&thread(1)).expect("JSON");
    let mut whole = list.take_piece();
    list.push_thread(&thread(2)).expect("JSON");
    list.close();
    whole.extend(list.take_piece());
    let entity = [thread(1), thread(2)];
    let entity: Vec<_> = entity.iter().map(Thread::from).collect();
    let expected = success(StatusCode::OK, Some(entity), None).expect("JSON");
    assert_eq!(String::from_utf8(whole).expect("UTF-8"), body(expected).await);

    let none: [(); 0] = [];
    let entity = serde_json::json!({"messages": none});
    let message = Some("Messages retreived successfully");
    let expected = success(StatusCode::OK, Some(entity), message).expect("JSON");
    assert_eq!(List::empty(MESSAGES), body(expected).await);
}

#[test]
fn a_profile_that_is_no_json_is_shown_as_null() {
    let user = user("x", Some("{broken"));
    let json = serde_json::to_string(&User::from(&user)).expect("JSON");
    assert_eq!(json, r#"{"id":"x","email":"codebee345@outlook.com","profile":null}"#);
}
