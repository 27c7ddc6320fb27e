//! The thread that writes. A disk that is full or hangs stops it, and nobody else.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use netrox_metrics::Registry;

use crate::{
    Audit, QUEUE_BYTES, Shared, Target,
    event::{Event, Name, Outcome},
    metrics::Metrics,
    output::Output,
    refusals::Refusals,
    told::Told,
};

/// Events that wait to be written; `QUEUE_BYTES` is their memory.
const QUEUE_EVENTS: usize = 1024;
/// Between two looks at where the file is, two summaries of refusals, and two attempts to write.
const TICK: Duration = Duration::from_secs(1);
/// For what is queued when the process ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) enum Message {
    Event(Box<Event>),
    /// Something else is to be done.
    Wake,
}

/// The audit log of a process, which has one. Ends with [`AuditLog::close`].
#[derive(Debug, Default)]
pub struct AuditLog {
    audit: Audit,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    thread: Thread,
    ended: Receiver<()>,
}

fn shared(role: &'static str, queue: SyncSender<Message>) -> Shared {
    Shared {
        role,
        queue,
        refusals: Mutex::new(Refusals::new(Instant::now())),
        metrics: Metrics::default(),
        queued_bytes: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        full_told: Told::default(),
        dead_told: Told::default(),
        write_told: Told::default(),
        open_told: Told::default(),
        last: Mutex::default(),
        is_to_reopen: AtomicBool::new(false),
        is_to_end: AtomicBool::new(false),
    }
}

impl AuditLog {
    /// Fails where the file cannot be opened. Without a target there is none, and nothing is kept.
    pub fn open(target: Option<Target>, role: &'static str) -> io::Result<Self> {
        let Some(target) = target else { return Ok(Self::default()) };
        let output = Output::open(target)?;
        let (queue, events) = mpsc::sync_channel(QUEUE_EVENTS);
        let shared = Arc::new(shared(role, queue));
        let (end, ended) = mpsc::sync_channel(1);
        let writer = Writer {
            shared: Arc::clone(&shared),
            events,
            output,
            ticked: Instant::now(),
            is_failing: false,
        };
        let spawned = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            writer.run();
            // Nobody waits where it took too long.
            let _ = end.send(());
        })?;
        let running = Running { thread: spawned.thread().clone(), ended };
        Ok(Self { audit: Audit(Some(shared)), running: Some(running) })
    }

    pub fn handle(&self) -> Audit {
        self.audit.clone()
    }

    /// Has the registry show what there is to be measured.
    pub fn register(&self, registry: &mut Registry) {
        if let Audit(Some(shared)) = &self.audit {
            shared.metrics.register(registry);
            let shared = Arc::downgrade(shared);
            // What is dropped is counted in lines, and for other causes too.
            registry.queues().add("audit_bytes", QUEUE_BYTES, move || {
                Some(shared.upgrade()?.queued_bytes.load(Ordering::Relaxed))
            });
        }
    }

    /// Writes what is queued and one line more, and ends. Waits for a disk that hangs for two seconds. Blocks.
    pub fn close(self, last: Event) {
        let (Audit(Some(shared)), Some(running)) = (self.audit, self.running) else { return };
        *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        shared.is_to_end.store(true, Ordering::Release);
        let _ = shared.queue.try_send(Message::Wake);
        running.thread.unpark();
        if running.ended.recv_timeout(END_TIMEOUT).is_err() {
            tracing::error!(
                "the audit log cannot be written in time: its last lines may be missing"
            );
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    events: Receiver<Message>,
    output: Output,
    ticked: Instant,
    /// The last attempt to write failed.
    is_failing: bool,
}

impl Writer {
    fn run(mut self) {
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(Message::Event(event)) => self.write_queued(&event),
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                // The queue is as long as this is.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.is_to_end() {
                return self.finish();
            }
            if self.ticked.elapsed() >= TICK || self.shared.is_to_reopen.load(Ordering::Relaxed) {
                self.tick();
            }
        }
    }

    fn is_to_end(&self) -> bool {
        self.shared.is_to_end.load(Ordering::Acquire)
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        self.follow();
        self.tell_lost();
        let refused = {
            let refusals = self.shared.refusals.lock();
            refusals.unwrap_or_else(PoisonError::into_inner).take(self.ticked)
        };
        for event in refused {
            self.write(&event);
        }
    }

    /// Goes to another file where that is asked for, or the path leads elsewhere.
    fn follow(&mut self) {
        let is_asked = self.shared.is_to_reopen.swap(false, Ordering::Relaxed);
        if !is_asked && !self.output.is_elsewhere() {
            return;
        }
        match self.output.reopen() {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the audit log goes on in a new file");
                self.write(&Event::new(Name::AuditLogReopened));
            }
            Err(error) => {
                if self.shared.open_told.is_due() {
                    tracing::error!(%error, "cannot open the audit log anew: it goes on in the old file");
                }
            }
        }
    }

    /// Says so in both logs where events did not find room in the queue.
    fn tell_lost(&mut self) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(
                lost,
                "events are missing in the audit log: it was not written in time"
            );
            self.write(&Event::new(Name::EventsDropped).outcome(Outcome::Failed).count(lost));
        } else if !self.is_failing {
            // Whoever found the queue full has said so.
            self.tell_written();
        }
    }

    fn tell_written(&self) {
        if self.shared.metrics.failing.set(0) != 0 {
            tracing::info!("the audit log is written again");
        }
    }

    fn write_queued(&mut self, event: &Event) {
        self.shared.queued_bytes.fetch_sub(event.bytes(), Ordering::Relaxed);
        self.write(event);
    }

    fn write(&mut self, event: &Event) {
        match event.lines(self.shared.role) {
            Ok(lines) => lines.iter().for_each(|line| self.write_line(line)),
            Err(error) => {
                self.shared.metrics.dropped.inc();
                tracing::error!(%error, "an event is missing in the audit log");
            }
        }
    }

    /// Tries until it is written. What comes meanwhile waits in the queue, and is counted where that is full.
    fn write_line(&mut self, line: &[u8]) {
        let mut written = 0;
        loop {
            match self.output.write(line, &mut written) {
                Ok(()) => {
                    self.shared.metrics.written.inc();
                    if std::mem::take(&mut self.is_failing) {
                        self.shared.write_told.forget();
                        self.tell_written();
                    }
                    return;
                }
                Err(error) => {
                    self.shared.metrics.failing.set(1);
                    self.is_failing = true;
                    if self.shared.write_told.is_due() {
                        let lost = self.shared.lost.load(Ordering::Relaxed);
                        tracing::error!(
                            %error,
                            lost,
                            "the audit log cannot be written: chat goes on, and events wait until their queue is full"
                        );
                    }
                }
            }
            if self.is_to_end() {
                self.output.give_up(line, written);
                self.shared.metrics.dropped.inc();
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // It may have been moved to where there is room. That it found none in the old file is known by now.
            self.shared.is_to_reopen.store(false, Ordering::Relaxed);
            if let Ok(true) = self.output.reopen() {
                // The whole line: what of it is in the old file stays there.
                written = 0;
                continue;
            }
            thread::park_timeout(TICK);
        }
    }

    /// What is queued, once each, and the last line.
    fn finish(mut self) {
        let refused = {
            let refusals = self.shared.refusals.lock();
            refusals.unwrap_or_else(PoisonError::into_inner).take_all()
        };
        for event in refused {
            self.write(&event);
        }
        while let Ok(message) = self.events.try_recv() {
            match message {
                Message::Event(event) => self.write_queued(&event),
                Message::Wake => {}
            }
        }
        self.tell_lost();
        let last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(last) = last {
            self.write(&last);
        }
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, "the audit log ends without its last lines");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

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
        let (path, old) =
            (directory.path().join("audit.log"), directory.path().join("audit.log.1"));
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
}
