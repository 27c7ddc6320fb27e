//! The program under test as a child process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Without what the environment of the tests may hold of its settings.
pub(crate) fn program(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = bound_to_its_test(env!("CARGO_BIN_EXE_netrox-chat"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NETROX_CHAT_") {
            command.env_remove(name);
        }
    }
    // The default is for one process of a machine.
    command.env("NETROX_CHAT_ADMIN_ADDR", "127.0.0.1:0");
    command.current_dir(dir).args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// A program that the kernel ends with the thread of its test, and so with one that is killed.
pub(crate) fn bound_to_its_test(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Runs it to its end, in a directory of its own.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    run_in(tempfile::tempdir().unwrap().path(), arguments, variables)
}

pub(crate) fn run_in(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = program(dir, arguments, variables);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Server::of(child).wait()
}

/// The same with `input` on its stdin.
pub(crate) fn run_with_input(
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program(dir.path(), arguments, variables);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Where it ends before it has read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Server::of(child).wait()
}

/// Polls for a condition; panics when it does not come true.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// A running program; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdout: Option<thread::JoinHandle<String>>,
    lines: Option<Receiver<String>>,
    seen: String,
}

impl Server {
    /// Starts a role on the data directory `data` in `dir`, on free ports, and waits until it serves.
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_with(dir, arguments, &[])
    }

    pub(crate) fn start_with(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program(dir, arguments, variables);
        for flag in ["HTTP_ADDR", "GRPC_ADDR"] {
            command.env(format!("NETROX_CHAT_{flag}"), "127.0.0.1:0");
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Self::of(child);
        server.wait_for_line("listening");
        server
    }

    pub(crate) fn of(mut child: Child) -> Self {
        let stdout = child.stdout.take().map(|mut stdout| {
            thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).unwrap();
                text
            })
        });
        let lines = child.stderr.take().map(|stderr| {
            // Without room, so that a closed receiver closes stderr at the next line.
            let (sender, receiver) = mpsc::sync_channel(0);
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines() {
                    if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                        return;
                    }
                }
            });
            receiver
        });
        Self { child, stdout, lines, seen: String::new() }
    }

    /// Waits for a line on stderr that holds `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.seen.lines().last().is_some_and(|line| line.contains(text)) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.as_ref().unwrap().recv_timeout(left) {
                Ok(line) => self.push(&line),
                Err(error) => panic!("no line with {text:?} ({error}) after:\n{}", self.seen),
            }
        }
    }

    /// Waits until it has said `text`, be it before.
    pub(crate) fn wait_to_say(&mut self, text: &str) {
        if !self.seen.contains(text) {
            self.wait_for_line(text);
        }
    }

    pub(crate) fn last_line(&self) -> &str {
        self.seen.lines().last().unwrap_or_default()
    }

    fn push(&mut self, line: &str) {
        self.seen.push_str(line);
        self.seen.push('\n');
    }

    pub(crate) fn http_addr(&self) -> String {
        self.field("http.addr=")
    }

    pub(crate) fn grpc_addr(&self) -> String {
        self.field("grpc.addr=")
    }

    pub(crate) fn admin_addr(&self) -> String {
        self.field("admin.addr=")
    }

    fn field(&self, name: &str) -> String {
        let line = self.seen.lines().find(|line| line.contains(" listening ")).unwrap();
        line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap().to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn close_stderr(&mut self) {
        self.lines = None;
    }

    /// Waits for the end, and returns all that it has said.
    pub(crate) fn wait(&mut self) -> Outcome {
        let deadline = Instant::now() + DEADLINE;
        while let Some(lines) = &self.lines {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.push(&line),
                Err(RecvTimeoutError::Disconnected) => self.lines = None,
                Err(RecvTimeoutError::Timeout) => panic!("still running after:\n{}", self.seen),
            }
        }
        let status = self.wait_within(DEADLINE);
        let stdout = self.stdout.take().map(|stdout| stdout.join().unwrap()).unwrap_or_default();
        Outcome { status, stdout, stderr: self.seen.clone() }
    }

    pub(crate) fn wait_within(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running after:\n{}", self.seen);
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
