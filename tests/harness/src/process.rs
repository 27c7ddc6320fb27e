//! One process of the program: its life and its log.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tokio::sync::watch;

use crate::{eventually, within};

pub use rustix::process::Signal;

/// What asks the program to drain.
pub const TERMINATE: Signal = Signal::TERM;

/// How often it is looked whether a command has ended.
const POLL: Duration = Duration::from_millis(10);

/// The program under test: the one Cargo built for the running test.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_netrox-chat") {
        return path.into();
    }
    // A test binary started by hand, from target/<profile>/deps.
    let test = std::env::current_exe().expect("the path of the test binary");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    profile.join("netrox-chat")
}

/// The program with nothing of this process's configuration, in a directory of the test's own.
pub fn command(directory: &Path) -> Command {
    command_by(&[], directory)
}

/// What starts a process that the kernel ends with the thread that started it, and so with a test that is killed. Started
/// in a test, or in a task that lives as long: no thread of a pool may start it, which ends when it was idle for a while.
pub fn bound_to_its_test(signal: &str) -> [OsString; 3] {
    ["setpriv", "--pdeathsig", signal].map(OsString::from)
}

/// The same, started by another program: the words of its command line come first, and it is to
/// `exec` what follows them.
pub fn command_by(launcher: &[OsString], directory: &Path) -> Command {
    command_of(&program(), launcher, directory)
}

/// The same of another program, as of another version.
pub fn command_of(program: &Path, launcher: &[OsString], directory: &Path) -> Command {
    let launcher = launcher.iter().cloned().chain(bound_to_its_test("KILL"));
    let mut words = launcher.chain([program.into()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir(directory).stdin(Stdio::null());
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("NETROX_CHAT_") {
            command.env_remove(key);
        }
    }
    command
}

/// What a process that ended left behind.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end, which must come within [`crate::PATIENCE`].
pub async fn run(
    directory: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
) -> Ended {
    let mut command = command(directory);
    command.args(arguments).envs(variables);
    run_command(command).await
}

/// Runs a command to its end, which must come within [`crate::PATIENCE`].
pub async fn run_command(command: Command) -> Ended {
    within("the end of the program", run_to_end(command)).await
}

/// Runs a command to its end, for as long as a test may take: tests in another language, many in one.
pub async fn run_to_end(mut command: Command) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = KillOnDrop(command.spawn().expect("start the program"));
    let stdout = read_all(child.0.stdout.take());
    let stderr = read_all(child.0.stderr.take());
    let status = loop {
        if let Some(status) = child.0.try_wait().expect("wait for the program") {
            break status;
        }
        tokio::time::sleep(POLL).await;
    };
    Ended {
        status,
        stdout: stdout.join().expect("read stdout"),
        stderr: stderr.join().expect("read stderr"),
    }
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.expect("a pipe").read_to_string(&mut text).expect("UTF-8 output");
        text
    })
}

/// A running process of the program. Dropping it kills the process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Log,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// The lines a process wrote to stderr so far.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Process {
    /// Starts `command`, whose stderr is kept line by line.
    pub fn spawn(mut command: Command) -> Self {
        crate::crowding::watch();
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start the program");
        let stderr = child.stderr.take().expect("a pipe");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (changed, count) = watch::channel(0);
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n') {
                let Ok(line) = line else { break };
                lock(&kept).push(String::from_utf8_lossy(&line).into_owned());
                changed.send_modify(|count| *count += 1);
            }
        });
        Self { child, log: Log { lines, count }, reader: Some(reader) }
    }

    pub fn log(&self) -> Log {
        self.log.clone()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal. A process that is told to stop has stopped when it returns.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal the program");
        if signal == Signal::STOP {
            let given = Instant::now();
            while !self.has_stopped() {
                assert!(given.elapsed() < crate::PATIENCE, "the program does not stop");
                std::thread::yield_now();
            }
        }
    }

    /// Whether none of its threads runs.
    fn has_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("its threads");
        threads.flatten().all(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let state = status.lines().find_map(|line| line.strip_prefix("State:"));
            // A thread that has ended meanwhile has none.
            state.is_none_or(|state| state.trim_start().starts_with('T'))
        })
    }

    /// Ends it as a power cut would: SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    pub async fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = eventually("the end of the program", || {
            std::future::ready(child.try_wait().expect("wait for the program"))
        })
        .await;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look at the program").is_none()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The same without what is read of files, such as the program itself: that of a debug build is large, and comes into
    /// memory as it is used.
    pub fn private_bytes(&self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).expect("read the status of the program");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    pub fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }

    /// The first event, past or to come, that `pick` makes something of.
    pub async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        let mut seen = 0;
        within(what, async {
            loop {
                let lines = self.lines();
                for line in &lines[seen..] {
                    let event = serde_json::from_str(line).unwrap_or(Value::Null);
                    if let Some(found) = pick(&event) {
                        return found;
                    }
                }
                seen = lines.len();
                let news = self.count.wait_for(|count| *count > seen).await;
                assert!(news.is_ok(), "the program ended without {what}: {lines:#?}");
            }
        })
        .await
    }

    /// The address logged when a listener was bound: `http.addr` or `grpc.addr`.
    pub async fn address(&mut self, field: &str) -> SocketAddr {
        self.event(field, |event| event[field].as_str()?.parse().ok()).await
    }

    pub fn contains(&self, text: &str) -> bool {
        self.count_of(text) > 0
    }

    /// How many lines have the text.
    pub fn count_of(&self, text: &str) -> usize {
        lock(&self.lines).iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until so many lines have the text: what is seen of a program may come before its log.
    pub async fn counts(&self, text: &str, lines: usize) {
        let what = format!("{lines} lines with {text:?}");
        eventually(&what, async || (self.count_of(text) == lines).then_some(())).await;
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
