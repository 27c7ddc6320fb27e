//! A server's processes.

use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A server and the processes that it started. Dropping it kills them all.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    pub(super) fn spawn(mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("start {command:?}: {error}")) }
    }

    /// Fails where the server has ended.
    pub(super) fn assert_running(&mut self) {
        let ended = self.child.try_wait().expect("look at a server");
        assert!(ended.is_none(), "the server ended: {ended:?}");
    }

    /// The first process only.
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal a server");
    }

    /// One that it started.
    pub(super) fn signal_child(&self, process: i32, signal: Signal) {
        let child = Pid::from_raw(process).filter(|child| self.children().contains(child));
        kill_process(child.expect("a process of the server"), signal).expect("signal a process");
    }

    /// All of its processes, the first one first.
    pub(super) fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        for child in self.children() {
            // One that has just ended is as good.
            let _ = kill_process(child, signal);
        }
    }

    /// SIGKILL to all of them.
    pub(super) fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Stopped, the first starts no more of them.
        let _ = kill_process(Pid::from_child(&self.child), Signal::STOP);
        let children = self.children();
        let _ = self.child.kill();
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        let _ = self.child.wait();
        // Whoever has no parent any more is reaped by another process, in its time.
        while children.iter().any(|child| is_alive(*child)) {
            std::thread::yield_now();
        }
    }

    pub(super) async fn wait(&mut self) -> ExitStatus {
        eventually("the end of a server", || {
            std::future::ready(self.child.try_wait().expect("wait for a server"))
        })
        .await
    }

    fn children(&self) -> Vec<Pid> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|child| child.parse().ok());
        pids.filter_map(Pid::from_raw).collect()
    }
}

/// Whether a process is there and not just waiting to be reaped.
fn is_alive(process: Pid) -> bool {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let Ok(stat) = std::fs::read_to_string(path) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
