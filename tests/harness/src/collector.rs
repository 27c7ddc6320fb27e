//! A collector of traces: `tests/python/collector.py`, which decodes them by libraries that are not ours.

use std::{
    env,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::Value;

use crate::{
    certificate::Certificate, eventually, process::bound_to_its_test, settings::own_address, within,
};

const INTERPRETER: &str = "NETROX_CHAT_TEST_PYTHON";

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    address: Ipv4Addr,
    port: u16,
    /// As the program prints them.
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::run(own_address(), None).await
    }

    /// In TLS.
    pub async fn secured(address: Ipv4Addr, own: &Certificate) -> Self {
        Self::run(address, Some(own)).await
    }

    async fn run(address: Ipv4Addr, own: Option<&Certificate>) -> Self {
        let python = env::var_os(INTERPRETER);
        let python = python.expect("an interpreter: run the tests with tests/run");
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../python/collector.py");
        let [setpriv, words @ ..] = bound_to_its_test("KILL");
        let mut command = Command::new(setpriv);
        command.args(words).arg(python).arg(Path::new(program)).arg(address.to_string());
        if let Some(Certificate { certificate, key }) = own {
            command.args([certificate, key]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a collector");
        let printed = BufReader::new(child.stdout.take().expect("what it prints"));
        let spans = Arc::new(Mutex::new(Vec::new()));
        let (told, port) = tokio::sync::oneshot::channel();
        let kept = Arc::clone(&spans);
        thread::spawn(move || {
            let lines = printed.lines().map_while(Result::ok);
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            // The test may have ended.
            let _ = told.send(lines.next());
            for span in lines {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(span);
            }
        });
        let first = within("the collector", port).await.expect("a line").expect("a port");
        let port = first["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Self { child, address, port: port.expect("a port"), spans }
    }

    /// What a process is told of it.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }

    pub fn secured_url(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    /// All that came so far.
    pub fn spans(&self) -> Vec<Value> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of one trace.
    pub fn trace(&self, trace_id: &str) -> Vec<Value> {
        self.spans().into_iter().filter(|span| span["trace_id"] == trace_id).collect()
    }

    /// A span of a trace, past or to come, that is what is wanted.
    pub async fn span(&self, trace_id: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{what} in trace {trace_id}");
        let found = async || self.trace(trace_id).into_iter().find(|span| is_it(span));
        eventually(&what, found).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
