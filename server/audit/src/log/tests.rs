use std::{fs, path::Path};

use super::*;
use crate::event::Name;

fn open(path: &Path) -> AuditLog {
    AuditLog::open(Some(Target::File(path.to_owned())), "core").expect("opened")
}

fn events(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("lines");
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    text.lines().map(|text| line(text)["event"].as_str().expect("a name").to_owned()).collect()
}

fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
        thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn what_is_recorded_is_written_before_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.log");
    let log = open(&path);
    let audit = log.handle();
    assert!(audit.is_on());
    for _ in 0..100 {
        audit.record(Event::new(Name::UserDeleted));
    }
    log.close(Event::new(Name::Stopped));
    assert_eq!(events(&path)[..100], ["user_deleted"; 100]);
    assert_eq!(events(&path)[100..], ["stopped"]);
    // After the end it is as if it were off.
    audit.record(Event::new(Name::UserDeleted));
    audit.reopen();
    assert_eq!(events(&path).len(), 101);
}

#[test]
fn without_a_target_nothing_is_kept() {
    let log = AuditLog::open(None, "core").expect("none");
    assert!(!log.handle().is_on());
    log.handle().record(Event::new(Name::Started));
    log.close(Event::new(Name::Stopped));
}

#[test]
fn what_asks_for_it_gets_a_new_file_of_the_same_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, old) = (directory.path().join("audit.log"), directory.path().join("audit.log.1"));
    let log = open(&path);
    let audit = log.handle();
    audit.record(Event::new(Name::Started));
    wait_until(|| events(&path) == ["started"]);
    fs::rename(&path, &old).expect("moved");
    audit.reopen();
    wait_until(|| path.exists() && events(&path) == ["audit_log_reopened"]);
    log.close(Event::new(Name::Stopped));
    assert_eq!(events(&path), ["audit_log_reopened", "stopped"]);
    assert_eq!(events(&old), ["started"]);
}

#[test]
fn a_full_disk_stops_nobody_and_what_is_missing_is_told_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("place");
    std::os::unix::fs::symlink("/dev", &place).expect("a link");
    let path = place.join("full");
    let log = open(&path);
    let audit = log.handle();
    for _ in 0..QUEUE_EVENTS + 100 {
        audit.record(Event::new(Name::UserDeleted));
    }
    let Audit(Some(shared)) = &log.audit else { panic!("it is on") };
    let metrics = shared.metrics.clone();
    wait_until(|| metrics.failing.get() == 1);
    assert!(metrics.dropped.get() >= 99, "{metrics:?}");
    fs::remove_file(&place).expect("removed");
    fs::create_dir(&place).expect("a directory");
    audit.reopen();
    wait_until(|| metrics.failing.get() == 0);
    log.close(Event::new(Name::Stopped));
    let events = events(&path);
    let deleted = events.iter().filter(|name| *name == "user_deleted").count() as u64;
    assert_eq!(deleted + metrics.dropped.get(), QUEUE_EVENTS as u64 + 100);
    assert_eq!(events.iter().filter(|name| *name == "events_dropped").count(), 1);
}

/// As a disk that hangs.
#[test]
fn a_write_that_does_not_end_stops_nobody_and_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a FIFO");
    let log = open(&path);
    let audit = log.handle();
    let Audit(Some(shared)) = &log.audit else { panic!("it is on") };
    let shared = Arc::clone(shared);
    wait_until(|| {
        (0..QUEUE_EVENTS).for_each(|_| audit.record(Event::new(Name::UserDeleted)));
        shared.metrics.failing.get() == 1
    });
    assert!(shared.metrics.dropped.get() > 0);
    assert!(!shared.full_told.is_due(), "the log was told");
    let fifo = fs::File::open(&path).expect("the FIFO");
    let reader = thread::spawn(move || io::read_to_string(fifo).expect("lines"));
    wait_until(|| shared.metrics.failing.get() == 0);
    log.close(Event::new(Name::Stopped));
    let text = reader.join().expect("read");
    assert!(text.ends_with('\n'), "{text:?}");
    assert!(text.contains("events_dropped"));
    assert!(text.lines().last().expect("a line").contains("\"stopped\""));
}

#[test]
fn a_thread_that_is_no_more_is_told() {
    let (queue, events) = mpsc::sync_channel(1);
    drop(events);
    let shared = shared("core", queue);
    shared.enqueue(Event::new(Name::UserDeleted));
    assert_eq!((shared.metrics.failing.get(), shared.metrics.dropped.get()), (1, 1));
    assert!(!shared.dead_told.is_due() && shared.full_told.is_due());
}

#[test]
fn what_waits_is_bounded_in_bytes_and_one_call_is_one_event() {
    let (queue, events) = mpsc::sync_channel(QUEUE_EVENTS);
    let shared = shared("core", queue);
    let many = || vec!["x".repeat(36); 1_000];
    while shared.metrics.dropped.get() == 0 {
        shared.enqueue(Event::new(Name::UsersUpserted).targets(many()));
    }
    let queued = events.try_iter().count();
    assert!((100..QUEUE_EVENTS).contains(&queued), "{queued}");
    assert_eq!(shared.metrics.dropped.get(), 20, "lines");
}
