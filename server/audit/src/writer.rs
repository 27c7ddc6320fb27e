//! The thread that writes. A disk that is full or hangs stops it, and nobody else.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Shared,
    event::{Event, Name, Outcome},
    output::Output,
};

/// Between two looks at where the file is, two summaries of refusals, and two attempts to write.
const TICK: Duration = Duration::from_secs(1);

pub(crate) enum Message {
    Event(Box<Event>),
    /// Something else is to be done.
    Wake,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    events: Receiver<Message>,
    output: Output,
    ticked: Instant,
    /// The last attempt to write failed.
    is_failing: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, events: Receiver<Message>, output: Output) -> Self {
        Self { shared, events, output, ticked: Instant::now(), is_failing: false }
    }

    /// Until the log is closed.
    pub(crate) fn run(mut self) {
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
