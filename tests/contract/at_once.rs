//! Batches of new messages are one call to the database, all others go step by step. Both number alike, on any core.

use netrox_harness::{Arrangement, Role, TestChat, database::Database, eventually, run_test};
use sqlx::{FromRow, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    attachment::upload,
    pipeline::{IN_FLIGHT, Pipeline},
    repetition::stored,
    running::{Core, authorized, connect_to, text},
};

/// Where the numbers of the rows contradict each other.
#[derive(Debug, Default, PartialEq, Eq, FromRow)]
struct Contradictions {
    /// Places that two messages have, or that none has.
    doubles: i64,
    holes: i64,
    /// Messages whose ids or times do not grow with the places of a feed or within a thread.
    ids_out_of_order: i64,
    times_out_of_order: i64,
    /// Feeds and threads that stand elsewhere than their messages.
    feeds: i64,
    threads: i64,
    sides: i64,
    turns: i64,
}

const CONTRADICTIONS: &str = "
    with places as (
        select sender as user_key, sender_seq as seq, id from messages
        union all
        select receiver, receiver_seq, id from messages where receiver_seq is not null
    ),
    in_order as (
        select id, lag(id) over (partition by user_key order by seq) as before from places
    ),
    of_threads as (
        select created, lag(created) over (partition by thread_id order by id) as before
        from messages
    ),
    ends as (
        select user_key, max(seq) as last_seq, count(*) as places, count(distinct seq) as numbers
        from places group by user_key
    ),
    turns as (
        select continues, sender, lag(sender) over (partition by thread_id order by id) as before
        from messages
    ),
    newest as (
        select distinct on (thread_id) thread_id, id, created from messages
        order by thread_id, id desc
    )
    select
        (select coalesce(sum(places - numbers), 0)::bigint from ends) as doubles,
        (select coalesce(sum(last_seq - numbers), 0)::bigint from ends) as holes,
        (select count(*) from in_order where before >= id) as ids_out_of_order,
        (select count(*) from of_threads where before >= created) as times_out_of_order,
        (select count(*) from ends join feeds using (user_key)
            where feeds.last_seq <> ends.last_seq) as feeds,
        (select count(*) from newest n join threads t on t.id = n.thread_id
            where (t.last_activity, t.last_message, t.last_message_at)
                is distinct from (n.created, n.id, n.created)) as threads,
        (select count(*) from threads t where (coalesce(t.low_sent, -1), coalesce(t.low_shown, -1),
                coalesce(t.high_sent, -1), coalesce(t.high_shown, -1)) <> (select
                coalesce(max(id) filter (where sender = t.low_key), 0),
                coalesce(max(id) filter (where sender = t.low_key and receiver_seq is not null), 0),
                coalesce(max(id) filter (where sender = t.high_key), 0),
                coalesce(max(id) filter (where sender = t.high_key and receiver_seq is not null), 0)
                from messages m where m.thread_id = t.id)) as sides,
        (select count(*) from turns
            where coalesce(continues, false) <> coalesce(before = sender, false)) as turns";

async fn assert_sound(database: &Database) {
    let found: Contradictions = sqlx::query_as(CONTRADICTIONS)
        .fetch_one(&mut database.connect().await)
        .await
        .expect("rows");
    assert_eq!(found, Contradictions::default());
}

/// Uploads and first messages go step by step, beside sends at once by another core.
#[tokio::test(flavor = "multi_thread")]
async fn both_ways_number_alike() {
    const SENDS: u64 = 200;
    const UPLOADS: usize = 30;
    run_test(async {
        let chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
        let mut cores = Vec::new();
        for core in chat.core_roles() {
            cores.push(authorized(connect_to(chat.grpc_address_of(core)).await));
        }
        let users: [String; 3] = cores[0].users().await;
        let mut writers = JoinSet::new();
        for (index, core) in cores.iter().enumerate() {
            for (sender, receiver) in [(0, 1), (1, 2), (2, 0), (1, 0)] {
                let mut pipeline = Pipeline::open(core).await;
                let message = text(&users[sender], &users[receiver], &index.to_string());
                writers.spawn(async move {
                    for number in 0..SENDS {
                        pipeline.message(number, message.clone()).await;
                        if number >= IN_FLIGHT as u64 {
                            stored(&pipeline.next().await.1);
                        }
                    }
                    for answer in pipeline.finish().await.expect("a good end").values() {
                        stored(answer);
                    }
                });
            }
        }
        for number in 0..UPLOADS {
            let core = &cores[number % cores.len()];
            upload(core, &users[0], &users[2], "a.txt", b"canary").await.expect("stored");
        }
        while let Some(writer) = writers.join_next().await {
            writer.expect("a writer");
        }
        let count: i64 = sqlx::query_scalar("select count(*) from messages")
            .fetch_one(&mut chat.database().connect().await)
            .await
            .expect("a count");
        assert_eq!(count as u64, 8 * SENDS + UPLOADS as u64);
        assert_sound(chat.database()).await;
    })
    .await;
}

/// The answers say what the database has, of new threads and of those that are there.
#[tokio::test]
async fn answers_are_what_was_stored() {
    let core = Core::start().await;
    let users: [String; 4] = core.users().await;
    let mut pipeline = Pipeline::open(&core).await;
    let mut number = 0;
    for _ in 0..3 {
        for (sender, receiver) in [(0, 1), (2, 3), (1, 0), (3, 0), (0, 1)] {
            let body = number.to_string();
            pipeline.message(number, text(&users[sender], &users[receiver], &body)).await;
            number += 1;
        }
    }
    let mut database = core.process.database().connect().await;
    for _ in 0..number {
        let (number, answer) = pipeline.next().await;
        let (id, thread, reference): (i64, i64, Option<Uuid>) =
            sqlx::query_as("select id, thread_id, client_ref from messages where body = $1")
                .bind(number.to_string())
                .fetch_one(&mut database)
                .await
                .expect("a row");
        assert_eq!(stored(&answer), id);
        assert!(reference.is_some(), "one that is found if its answer is lost");
        let message = core.message(&users[0], id).await;
        assert_eq!(message.map_or(thread, |message| message.thread_id), thread);
    }
    assert_sound(core.process.database()).await;
}

/// As where somebody restored the tables alone.
#[tokio::test]
async fn without_the_function_sends_go_step_by_step() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "canary").await.expect("stored");
    let mut database = core.process.database().connect().await;
    sqlx::raw_sql("drop function store_messages").execute(&mut database).await.expect("dropped");
    for _ in 0..2 {
        core.send(&ada, &bob, "canary").await.expect("stored");
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 3);
    assert_sound(core.process.database()).await;
    core.process.log(Role::Core(0)).counts("the function store_messages fails", 1).await;
}

/// It is found out before anything is written: identifiers are drawn once, by what goes step by step.
#[tokio::test]
async fn a_repetition_is_found_before_anything_is_written() {
    const REPETITIONS: i64 = 5;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut request = text(&ada, &bob, "canary");
    request.client_ref = Some(Uuid::new_v4().to_string());
    let first = core.chat().send_message(request.clone()).await.expect("stored").into_inner();
    for _ in 0..REPETITIONS {
        let again = core.chat().send_message(request.clone()).await.expect("stored").into_inner();
        assert_eq!(again.message_id, first.message_id);
    }
    let mut database = core.process.database().connect().await;
    let drawn: i64 = sqlx::query_scalar("select last_value from message_ids")
        .fetch_one(&mut database)
        .await
        .expect("a sequence");
    assert!(drawn - first.message_id <= REPETITIONS, "{drawn} after {}", first.message_id);
}

/// One message, which is begun and stored until so many microseconds from now. Gives its id.
async fn call(
    database: &mut PgConnection,
    users: &[Uuid],
    begun_within: i64,
    within: i64,
) -> Option<Vec<i64>> {
    const CALL: &str = "
        select s.message_ids
        from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as at) as now,
            lateral store_messages(
                (select max(start) from starts), now.at, now.at + $2, now.at + $3, $1,
                array[1, 1]::bigint[], array[1], array[2], array[1]::bigint[], array[1], array[1],
                array[0], array[1], array[1], array[2], array[1]::bigint[], array[1]::bigint[],
                array[1]::bigint[], array[null]::boolean[], array['canary'], array[null]::text[],
                array[gen_random_uuid()], array[false]) as s";
    let call = sqlx::query_scalar(CALL).bind(users).bind(begun_within).bind(within);
    call.fetch_one(database).await.expect("an answer")
}

/// As what lay in a socket, or waited for the locks of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_late_stores_nothing() {
    const A_SECOND: i64 = 1_000_000;
    /// Not over before the call was answered.
    const AN_HOUR: i64 = 3_600_000_000;
    const WAITS: &str = "
        select exists (select 1 from pg_locks where not granted
            and database = (select oid from pg_database where datname = current_database()))";
    let core = Core::start().await;
    let users: [String; 2] = core.users().await;
    let mut users = users.map(|user| user.parse::<Uuid>().expect("an id")).to_vec();
    users.sort();
    let mut database = core.process.database().connect().await;
    assert_eq!(call(&mut database, &users, AN_HOUR, -1).await, None);
    assert_eq!(call(&mut database, &users, -1, AN_HOUR).await, None);

    let mut holder = core.process.database().connect().await;
    let lock = "begin; lock table feeds in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.expect("locked");
    let late = tokio::spawn({
        let users = users.clone();
        async move {
            let called = call(&mut database, &users, AN_HOUR, A_SECOND).await;
            (called, database)
        }
    });
    eventually("a call that waits", async || {
        let waits: bool =
            sqlx::query_scalar(WAITS).fetch_one(&mut holder).await.expect("the locks");
        waits.then_some(())
    })
    .await;
    sqlx::raw_sql("select pg_sleep(1.1); commit").execute(&mut holder).await.expect("released");
    let (called, mut database) = late.await.expect("a call");
    assert_eq!(called, None);
    assert!(call(&mut database, &users, AN_HOUR, AN_HOUR).await.is_some());
    let [ada, bob] = [users[0].to_string(), users[1].to_string()];
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
    assert_sound(core.process.database()).await;
}

/// As a core of 0.2.0 stores it, which notes of a thread its newest message alone. What it sent counts as unread, and can be
/// marked, whoever notes more of the thread later.
#[tokio::test]
async fn what_a_core_of_0_2_0_stores_is_counted() {
    const CALL: &str = "
        select s.message_ids
        from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as at) as now,
            lateral store_sends(
                (select max(start) from starts), now.at, now.at + 3600000000, $1, array[1, 1]::bigint[],
                array[$2], array[$3], array[1]::bigint[], array[1], array[1], array[$2], array[$3],
                array[1]::bigint[], array[1]::bigint[], array[1]::bigint[], array['canary'],
                array[gen_random_uuid()]) as s";
    let core = Core::start().await;
    let users: [String; 2] = core.users().await;
    let mut ids = users.each_ref().map(|user| user.parse::<Uuid>().expect("an id")).to_vec();
    ids.sort();
    let [ada, bob] = [ids[0].to_string(), ids[1].to_string()];
    let mut database = core.process.database().connect().await;
    let mut send = async |one: i32, two: i32| {
        let call = sqlx::query_scalar(CALL).bind(&ids).bind(one).bind(two);
        let stored: Option<Vec<i64>> = call.fetch_one(&mut database).await.expect("an answer");
        stored.expect("a message")[0]
    };
    let first = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    core.seen(&bob, &ada, first).await.expect("marked");
    core.send(&bob, &ada, "two").await.expect("stored");
    let older = send(2, 1).await;
    let state = core.state(&ada, &bob).await;
    assert_eq!((state.unread, state.last_id), (2, older));
    core.seen(&ada, &bob, older).await.expect("marked");
    // One of the other side, noted by a core of now.
    let next = core.send(&ada, &bob, "three").await.expect("stored").message_id;
    assert_eq!(core.state(&ada, &bob).await.unread, 0);
    let state = core.state(&bob, &ada).await;
    assert_eq!((state.unread, state.last_id), (1, next));
    let older = send(1, 2).await;
    let state = core.state(&bob, &ada).await;
    assert_eq!((state.unread, state.last_id), (2, older));
    core.seen(&bob, &ada, older).await.expect("marked");
    core.send(&bob, &ada, "four").await.expect("stored");
    let last = core.send(&ada, &bob, "five").await.expect("stored").message_id;
    let state = core.state(&bob, &ada).await;
    assert_eq!((state.unread, state.last_id), (1, last));
    let page = core.thread_page(&bob, 10, "").await.expect("a page");
    assert_eq!(page.unread_total, 1);
}
