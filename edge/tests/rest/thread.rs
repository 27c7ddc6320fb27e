use std::sync::Arc;

use netrox_proto::{
    time::timestamp,
    v1::{ListThreadsRequest, ListThreadsResponse, Thread},
};

use crate::{
    stub::{answers, user},
    world::{ALICE, BOB, CAROL, World, bearer},
};

fn thread(id: i64, user_one: &str, user_two: &str) -> Thread {
    let created = Some(timestamp(1_718_538_217_563_070));
    let (user_one, user_two) = (Some(user(user_one)), Some(user(user_two)));
    Thread { id, user_one, user_two, created, last_activity: created }
}

#[tokio::test]
async fn threads_are_listed_as_documented() {
    let world = World::start().await;
    world.core.state().list_threads = Arc::new(|request| {
        assert_eq!(request, ListThreadsRequest { user_id: ALICE.into() });
        Ok(answers([
            ListThreadsResponse { threads: vec![thread(7, BOB, ALICE), thread(2, ALICE, CAROL)] },
            ListThreadsResponse { threads: vec![] },
            ListThreadsResponse { threads: vec![thread(1, ALICE, BOB)] },
        ]))
    });
    let alice = bearer(ALICE);
    let answer = world.get("/chat/get-user-threads/", &[("authorization", &alice)]).await;
    assert_eq!(answer.status, 200);
    let user =
        |id: &str| format!(r#"{{"id":"{id}","email":"{}@example.com","profile":null}}"#, &id[..4]);
    let thread = |id: i64, one: &str, two: &str| {
        format!(
            r#"{{"id":{id},"user_one":{},"user_two":{},"craeted":"2024-06-16T11:43:37.563070Z"}}"#,
            user(one),
            user(two)
        )
    };
    let entity = [thread(7, BOB, ALICE), thread(2, ALICE, CAROL), thread(1, ALICE, BOB)].join(",");
    let envelope =
        format!(r#"{{"status":"success","entity":[{entity}],"message":null,"success":true}}"#);
    assert_eq!(answer.text(), envelope);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_user_without_threads_has_an_empty_list() {
    let world = World::start().await;
    let alice = bearer(ALICE);
    for empty in [vec![], vec![ListThreadsResponse::default()]] {
        world.core.state().list_threads = Arc::new(move |_| Ok(answers(empty.clone())));
        let answer = world.get("/chat/get-user-threads", &[("authorization", &alice)]).await;
        assert_eq!(
            answer.text(),
            r#"{"status":"success","entity":[],"message":null,"success":true}"#
        );
    }
}
