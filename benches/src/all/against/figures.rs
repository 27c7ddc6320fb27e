//! What of a measurement is held against the other build. A run that lost messages is an error.

use super::figure::Figure;
use crate::{
    Result,
    ledger::Checked,
    load::{closed::Outcome, idle::Idle, storm::Storm},
    rest::{history::History, threads::Threads, upload::Upload},
    second::{feed::Feed, lists::Lists},
    startup::Startup,
};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn closed(outcome: &Outcome) -> Result<Vec<Figure>> {
    sound(outcome)?;
    Ok(vec![Figure::more("messages", outcome.messages_per_second, "/s"), cpu(outcome)?])
}

pub(super) fn postgres((outcome, server_cpu): (Outcome, Option<f64>)) -> Result<Vec<Figure>> {
    let mut figures = closed(&outcome)?;
    // Unknown where the server is on another machine.
    figures.extend(server_cpu.map(|each| Figure::less("CPU of PostgreSQL", each, " us")));
    Ok(figures)
}

pub(super) fn steady(outcome: &Outcome) -> Result<Vec<Figure>> {
    sound(outcome)?;
    let latency = outcome.latency_ms;
    Ok(vec![
        Figure::less("p50", latency.p50, " ms"),
        Figure::less("p99", latency.p99, " ms"),
        cpu(outcome)?,
    ])
}

pub(super) fn history(history: &History) -> Result<Vec<Figure>> {
    sound(history)?;
    let rate = history.messages_per_cpu_second.ok_or("no CPU figure")?;
    Ok(vec![
        Figure::more("messages per core", rate, "/s"),
        Figure::less("first byte", history.first_byte_ms.max, " ms"),
        memory("growth", history.growth_bytes)?,
    ])
}

pub(super) fn idle(idle: &Idle) -> Result<Vec<Figure>> {
    sound(idle)?;
    let each = idle.bytes_each.ok_or("no memory figure")?;
    Ok(vec![Figure::less("memory", each / KIB, " KiB")])
}

pub(super) fn storm(storm: &Storm) -> Result<Vec<Figure>> {
    sound(storm)?;
    let each = storm.server_cpu_us_per_client.ok_or("no CPU figure")?;
    let mut figures = vec![
        Figure::less("back", storm.connected_seconds, " s"),
        Figure::less("back and receiving", storm.received_seconds, " s"),
        Figure::less("CPU of a reconnect", each, " us"),
    ];
    // Of a database that is at hand.
    let written = storm.database_written.map(|written| u8::from(written).into());
    figures.extend(written.map(|written| Figure::less("database written", written, "")));
    Ok(figures)
}

pub(super) fn startup(startup: &Startup) -> Result<Vec<Figure>> {
    Ok(vec![
        Figure::less("ready", startup.ready_ms, " ms"),
        memory("idle memory", Some(startup.idle_bytes))?,
        memory("program", Some(startup.program_bytes))?,
    ])
}

pub(super) fn threads(threads: &Threads) -> Result<Vec<Figure>> {
    Ok(vec![Figure::less("first byte", threads.first_byte_ms.max, " ms")])
}

pub(super) fn feed(feed: &Feed) -> Result<Vec<Figure>> {
    sound(feed)?;
    let each = feed.resume_cpu_us.ok_or("no CPU figure")?;
    Ok(vec![
        Figure::more("changes caught up with", feed.changes_per_second, "/s"),
        memory("growth", feed.growth_bytes)?,
        Figure::less("CPU of a resume", each, " us"),
        Figure::less("state, all unread", feed.unread_ms.p50, " ms"),
        Figure::less("state, all one's own", feed.own_ms.p50, " ms"),
    ])
}

pub(super) fn lists(lists: &Lists) -> Result<Vec<Figure>> {
    Ok(vec![
        Figure::less("first byte, all unread", lists.unread_first_byte_ms.max, " ms"),
        Figure::less("first byte, none unread", lists.read_first_byte_ms.max, " ms"),
    ])
}

/// Without the growth by downloads: some 0.1 MiB, whose ratio says nothing.
pub(super) fn upload(upload: &Upload) -> Result<Vec<Figure>> {
    Ok(vec![
        Figure::more("upload", upload.upload_mib_per_second, " MiB/s"),
        Figure::more("download", upload.download_mib_per_second, " MiB/s"),
        Figure::less("CPU of an upload", upload.upload_cpu_ms.ok_or("no CPU figure")?, " ms"),
        memory("growth by upload", upload.upload_growth_bytes)?,
    ])
}

fn cpu(outcome: &Outcome) -> Result<Figure> {
    let each = outcome.server_cpu_us_per_message.ok_or("no CPU figure")?;
    Ok(Figure::less("CPU of a message", each, " us"))
}

fn memory(what: &'static str, bytes: Option<u64>) -> Result<Figure> {
    let bytes = bytes.ok_or("no memory figure")?;
    Ok(Figure::less(what, bytes as f64 / MIB, " MiB"))
}

pub(super) fn sound(measured: &impl Checked) -> Result<()> {
    match measured.wrong() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} messages were lost, came twice or out of order").into()),
    }
}
