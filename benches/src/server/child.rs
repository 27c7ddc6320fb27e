//! A process that the bench started, and what it says of where it listens.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;

use crate::Result;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Starts a command whose stderr is a JSON object a line.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
                // Read on when nobody listens: the process must not stop for a full pipe.
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The addresses in the first line that has the last of `fields`.
    pub(crate) fn addresses<const N: usize>(&self, fields: [&str; N]) -> Result<[SocketAddr; N]> {
        let mut last = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(START_TIMEOUT) else {
                return Err(format!("a process did not start; its last words: {last}").into());
            };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = |field: &str| event[field].as_str()?.parse().ok();
            if let Some(found) =
                fields.iter().map(|field| address(field)).collect::<Option<Vec<_>>>()
                && let Ok(found) = found.try_into()
            {
                return Ok(found);
            }
            last = line;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
