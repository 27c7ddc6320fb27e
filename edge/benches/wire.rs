//! The hot pieces of the public wire format: `cargo bench -p netrox-edge --features bench`.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark fails by a panic")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netrox_edge::bench::{parse_client_frame, render_history, render_server_frame};
use netrox_proto::{
    ids::UserId,
    time::timestamp,
    v1::{ListMessagesResponse, Message, User},
};

const ADA: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
/// 2024-06-17T12:48:28.228342Z
const CREATED: i64 = 1_718_628_508_228_342;
const PAGE: i64 = 256;

fn message(id: i64) -> Message {
    Message {
        id,
        thread_id: 1,
        sender_id: ADA.into(),
        receiver_id: BOB.into(),
        body: "a message of sixty-four bytes, as people write them: \"hello\" :-)".into(),
        created: Some(timestamp(CREATED + id)),
        updated: Some(timestamp(CREATED + id)),
        ..Default::default()
    }
}

fn frames(criterion: &mut Criterion) {
    let sender: UserId = ADA.parse().expect("a UUID");
    let body = "x".repeat(64);
    let frame =
        format!(r#"{{"action":"chat_message","message_body":"{body}","receiver_id":"{BOB}"}}"#);
    criterion.bench_function("parse a client's frame", |bencher| {
        bencher.iter(|| assert!(parse_client_frame(black_box(&frame), sender)));
    });
    let message = message(34);
    criterion.bench_function("render a server's frame", |bencher| {
        bencher.iter(|| render_server_frame(black_box(&message)));
    });
}

fn history(criterion: &mut Criterion) {
    let user =
        |id: &str| User { id: id.into(), email: "ada@example.com".into(), ..Default::default() };
    let first = ListMessagesResponse { users: vec![user(ADA), user(BOB)], messages: vec![] };
    let page = ListMessagesResponse { users: vec![], messages: (1..=PAGE).map(message).collect() };
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(PAGE.unsigned_abs()));
    group.bench_function("render 256 messages", |bencher| {
        bencher.iter(|| render_history(black_box(&first), black_box(&page)));
    });
    group.finish();
}

criterion_group!(benches, frames, history);
criterion_main!(benches);
