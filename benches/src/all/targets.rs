//! What each figure is to reach.

use crate::{
    load::{closed::Outcome, idle::Idle, storm::Storm},
    report::Line,
    rest::{history::History, threads::Threads},
    second::{feed::Feed, lists::Lists},
    startup::Startup,
    yardstick::store::Store,
};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn s1(outcome: &Outcome, store: &Store) -> Vec<Line> {
    let rate = outcome.messages_per_second;
    let raw = store.rows_per_second;
    vec![
        Line::at_least("S1", "durable and delivered, serve", 15_000.0, rate, "/s"),
        Line::at_least("S1", format!("of raw store ({raw:.0}/s)"), 0.7, rate / raw, ""),
    ]
}

pub(super) fn s2(outcome: &Outcome, serve: &Outcome) -> Vec<Line> {
    let share = outcome.messages_per_second / serve.messages_per_second;
    let what = format!("of S1, split ({:.0}/s)", outcome.messages_per_second);
    vec![Line::at_least("S2", what, 0.5, share, "")]
}

pub(super) fn s3(outcome: &Outcome, split: Option<&Outcome>) -> Vec<Line> {
    let rate = outcome.messages_per_second;
    let mut lines =
        vec![Line::at_least("S3", "durable and delivered, PostgreSQL", 10_000.0, rate, "/s")];
    let cpu = |outcome: &Outcome| outcome.server_cpu_us_per_message;
    if let Some((ours, theirs)) = cpu(outcome).zip(split.and_then(cpu)) {
        let what = format!("CPU per message without PostgreSQL's, of S2's {theirs:.0} us");
        lines.push(Line::at_most("S3", what, 1.5, ours / theirs, ""));
    }
    lines
}

pub(super) fn s4(outcome: &Outcome, store: &Store) -> Vec<Line> {
    let (latency, commit) = (outcome.latency_ms, store.commit_ms.p50);
    vec![
        Line::at_most(
            "S4",
            format!("p50 at 1,000/s (commit {commit:.2} ms)"),
            commit + 0.5,
            latency.p50,
            " ms",
        ),
        Line::at_most("S4", "p99 at 1,000/s", 10.0 * latency.p50, latency.p99, " ms"),
    ]
}

pub(super) fn s5(outcome: &Outcome, arrangement: &str) -> Vec<Line> {
    let target = if arrangement == "serve" { 5_000.0 } else { 3_000.0 };
    let what = format!("one connection, pipelined, {arrangement}");
    vec![Line::at_least("S5", what, target, outcome.messages_per_second, "/s")]
}

pub(super) fn s6(idle: &Idle, arrangement: &str) -> Vec<Line> {
    let target = if arrangement == "serve" { 10.0 } else { 14.0 };
    let what = format!("memory of an idle connection, {arrangement}");
    let each = idle.bytes_each.map(|each| each / KIB);
    each.map(|each| Line::at_most("S6", what, target, each, " KiB")).into_iter().collect()
}

pub(super) fn s7(history: &History) -> Vec<Line> {
    let rate = history.messages_per_cpu_second.unwrap_or_default();
    let growth = history.growth_bytes.unwrap_or_default() as f64 / MIB;
    vec![
        Line::at_least("S7", "history of 100,000, per core", 300_000.0, rate, "/s"),
        Line::at_most("S7", "first byte", 20.0, history.first_byte_ms.max, " ms"),
        Line::at_most("S7", "growth of memory", 16.0, growth, " MiB"),
    ]
}

pub(super) fn s7_large(history: &History, rows: u64) -> Vec<Line> {
    let rate = history.messages_per_cpu_second.unwrap_or_default();
    let what = format!("the same among {rows} messages");
    vec![Line::at_least("S7", what, 300_000.0, rate, "/s")]
}

pub(super) fn s8(storm: &Storm) -> Vec<Line> {
    let writes = f64::from(u8::from(storm.database_written.unwrap_or(true)));
    let written = Line {
        ratio: 1.0 - writes,
        pass: writes == 0.0,
        ..Line::at_most("S8", "database written by reconnects", 0.0, writes, "")
    };
    vec![
        Line::at_most("S8", "5,000 cut, back and receiving", 5.0, storm.received_seconds, " s"),
        written,
    ]
}

pub(super) fn s9(startup: &Startup) -> Vec<Line> {
    let what = format!("start to ready on {} messages", startup.rows);
    vec![
        Line::at_most("S9", what, 300.0, startup.ready_ms, " ms"),
        Line::at_most("S9", "idle memory", 25.0, startup.idle_bytes as f64 / MIB, " MiB"),
        Line::at_most("S9", "program", 25.0, startup.program_bytes as f64 / MIB, " MiB"),
    ]
}

pub(super) fn t8(idle: &Idle) -> Option<Line> {
    let each = idle.bytes_each.map(|each| each / KIB)?;
    Some(Line::at_most("T8", "memory of an idle connection, cluster", 12.0, each, " KiB"))
}

/// The targets are half of what 6eeeedb needs on the machine of docs/PERFORMANCE.md, and 0.6 of S8's time.
pub(super) fn t9(storm: &Storm) -> Vec<Line> {
    let mut lines =
        vec![Line::at_most("T9", "5,000 back, cluster", 3.0, storm.connected_seconds, " s")];
    let cpu = storm.server_cpu_us_per_client;
    lines.extend(cpu.map(|each| Line::at_most("T9", "CPU of a reconnect", 335.0, each, " us")));
    lines
}

pub(super) fn t10(outcome: &Outcome) -> Line {
    let rate = outcome.messages_per_second;
    Line::at_least("T10", "1,000 pairs, 8 each, none refused, cluster", 10_000.0, rate, "/s")
}

/// Of S1's kind with one message in flight each: what the one receiver costs, beside as many pairs.
pub(super) fn s10_single(single: &Outcome, spread: &Outcome) -> Line {
    let share = single.messages_per_second / spread.messages_per_second;
    let what = format!(
        "of 500 pairs ({:.0}/s), 1 in flight each ({:.0}/s)",
        spread.messages_per_second, single.messages_per_second
    );
    Line::at_least("S10", what, 0.7, share, "")
}

pub(super) fn s10(hot: &Outcome, serve: Option<&Outcome>, threads: &Threads) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(serve) = serve {
        let share = hot.messages_per_second / serve.messages_per_second;
        let what = format!("of S1, 500 senders to one, 8 each ({:.0}/s)", hot.messages_per_second);
        lines.push(Line::at_least("S10", what, 0.7, share, ""));
    }
    let first_byte = threads.first_byte_ms.max;
    lines.push(Line::at_most("S10", "10,000 threads, first byte", 50.0, first_byte, " ms"));
    lines
}

/// Against the same without marks.
pub(super) fn v1(marked: &Outcome, unmarked: &Outcome, place: &str) -> Line {
    let share = marked.messages_per_second / unmarked.messages_per_second;
    let what = format!("each marked as seen, {place} ({:.0}/s)", marked.messages_per_second);
    Line::at_least("V1", what, 0.6, share, "")
}

pub(super) fn feed(feed: &Feed, place: &str) -> Vec<Line> {
    let growth = feed.growth_bytes.unwrap_or_default() as f64 / MIB;
    let rate = feed.changes_per_second;
    let mut lines = vec![
        Line::at_least("V2", format!("changes caught up with, {place}"), 100_000.0, rate, "/s"),
        Line::at_most("V2", format!("growth of memory, {place}"), 16.0, growth, " MiB"),
        Line::at_most(
            "V2",
            format!("state, {} unread, {place}", feed.messages),
            2.0,
            feed.unread_ms.p50,
            " ms",
        ),
        Line::at_most(
            "V2",
            format!("state, {} of one's own, {place}", feed.messages),
            2.0,
            feed.own_ms.p50,
            " ms",
        ),
    ];
    if let (Some(ratio), Some(each)) = (feed.resume_ratio, feed.resume_cpu_us) {
        let what = format!("CPU of a resume ({each:.0} us), of a short feed's, {place}");
        lines.push(Line::at_most("V2", what, 1.2, ratio, ""));
    }
    lines
}

pub(super) fn lists(lists: &Lists, place: &str) -> Vec<Line> {
    let line = |what, first_byte| {
        let what = format!("{} threads, {what}, first byte, {place}", lists.threads);
        Line::at_most("V3", what, 30.0, first_byte, " ms")
    };
    vec![
        line("all unread", lists.unread_first_byte_ms.max),
        line("none unread", lists.read_first_byte_ms.max),
    ]
}
