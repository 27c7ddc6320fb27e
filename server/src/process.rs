//! What the system and the runtime tell of this process. Looked up when somebody asks.

use std::{
    fmt, fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use netrox_metrics::Registry;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use rlimit::Resource;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio_util::sync::CancellationToken;

/// What the kernel counts the time of a process in.
const TICKS_PER_SECOND: f64 = 100.0;
const FILES: &str = "/proc/self/fd";
/// Of open files, where they have to be counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

/// Has the registry show them.
pub(crate) fn register(registry: &mut Registry, draining: CancellationToken) {
    registry.register_common(Process { started: now(), counted: Mutex::default() });
    registry.register_collector(Runtime { metrics: Handle::current().metrics(), draining });
}

#[expect(clippy::disallowed_methods, reason = "others want to know when the process began")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// By the names that the libraries of Prometheus use.
#[derive(Debug)]
struct Process {
    started: Duration,
    /// Open files, and when they were counted.
    counted: Mutex<Option<(Instant, u64)>>,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut shown = Shown(&mut encoder);
        shown.gauge(
            "process_start_time",
            "When the process began, in Unix time",
            Some(&Unit::Seconds),
            self.started.as_secs_f64(),
        )?;
        if let Some(seconds) = cpu_seconds() {
            shown.counter(
                "process_cpu",
                "Processor time that the process has used",
                Some(&Unit::Seconds),
                seconds,
            )?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, field) in [
            ("process_resident_memory", "Memory of the process", "VmRSS:"),
            ("process_virtual_memory", "Address space of the process", "VmSize:"),
        ] {
            if let Some(kib) = number(&status, field) {
                shown.gauge(name, help, Some(&Unit::Bytes), kib * 1024.0)?;
            }
        }
        if let Some(threads) = number(&status, "Threads:") {
            shown.gauge("process_threads", "Threads of the process", None, threads)?;
        }
        if let Some(open) = self.open_files() {
            shown.gauge("process_open_fds", "Open files of the process", None, open as f64)?;
        }
        if let Ok((limit, _)) = rlimit::getrlimit(Resource::NOFILE) {
            shown.gauge("process_max_fds", "How many it may have", None, limit as f64)?;
        }
        Ok(())
    }
}

/// The number behind a name in a file of the kernel.
fn number(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may have spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

impl Process {
    /// The size of their directory; before Linux 6.2 that is 0, and they are counted.
    fn open_files(&self) -> Option<u64> {
        match fs::metadata(FILES).ok()?.len() {
            0 => self.count_files(),
            count => Some(count),
        }
    }

    /// That takes milliseconds where there are ten thousand.
    fn count_files(&self) -> Option<u64> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, count)) = *counted
            && at.elapsed() < COUNT_INTERVAL
        {
            return Some(count);
        }
        let count = fs::read_dir(FILES).ok()?.count() as u64;
        *counted = Some((Instant::now(), count));
        Some(count)
    }
}

/// What runs the tasks, and whether they are to end.
#[derive(Debug)]
struct Runtime {
    metrics: RuntimeMetrics,
    draining: CancellationToken,
}

impl Collector for Runtime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (metrics, workers) = (&self.metrics, self.metrics.num_workers());
        let busy: Duration = (0..workers).map(|id| metrics.worker_total_busy_duration(id)).sum();
        let mut shown = Shown(&mut encoder);
        shown.gauge(
            "draining",
            "Whether the process was told to end: 1, or 0",
            None,
            if self.draining.is_cancelled() { 1.0 } else { 0.0 },
        )?;
        shown.gauge("runtime_workers", "Threads that run tasks", None, workers as f64)?;
        let tasks = metrics.num_alive_tasks() as f64;
        shown.gauge("runtime_tasks", "Tasks that there are", None, tasks)?;
        let queued = metrics.global_queue_depth() as f64;
        shown.gauge("runtime_tasks_queued", "Tasks that no worker has taken yet", None, queued)?;
        shown.counter(
            "runtime_busy",
            "Time that workers were busy, of all together",
            Some(&Unit::Seconds),
            busy.as_secs_f64(),
        )
    }
}

/// Metrics of one scrape.
struct Shown<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Shown<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.show(name, help, unit, &ConstGauge::new(value))
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.show(name, help, unit, &ConstCounter::new(value))
    }

    /// A full stop is added to the help of others.
    fn show(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        metric: &impl EncodeMetric,
    ) -> fmt::Result {
        let help = format!("{help}.");
        let kind = metric.metric_type();
        metric.encode(self.0.encode_descriptor(name, &help, unit, kind)?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_tells_it_by_names_that_dashboards_know() {
        let (mut registry, draining) = (Registry::default(), CancellationToken::new());
        register(&mut registry, draining.clone());
        draining.cancel();
        let shown = registry.text().expect("text");
        let value = |name: &str| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name));
            let value = line.unwrap_or_else(|| panic!("no {name}: {shown}"));
            value.trim().parse::<f64>().expect("a number")
        };
        assert!(value("process_start_time_seconds ") > 1.7e9);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        let resident = value("process_resident_memory_bytes ");
        assert!((1e6..1e11).contains(&resident), "{resident}");
        assert!(value("process_virtual_memory_bytes ") >= resident);
        assert!(value("process_threads ") >= 1.0);
        assert!((3.0..=value("process_max_fds ")).contains(&value("process_open_fds ")));
        assert_eq!(value("netrox_chat_draining "), 1.0);
        assert_eq!(value("netrox_chat_runtime_workers "), 1.0);
        assert!(value("netrox_chat_runtime_busy_seconds_total ") >= 0.0);
    }
}
