//! How much the machine's other work, and its own pace, hold up a test and the processes that it started.

use std::{
    collections::VecDeque,
    fs,
    hint::black_box,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Beyond it a bound would say nothing any more.
const MOST: f64 = 8.0;

/// What the work of a sample takes on an idle machine of the kind that bounds were set on.
const NOMINAL: Duration = Duration::from_millis(4);
const STEPS: u64 = 1_000_000;
/// Some hundredths of a processor.
const PAUSE: Duration = Duration::from_millis(240);
/// Those of the last minute, more or less.
const SAMPLES: usize = 240;

/// How many times as long a computation lasts as on an idle machine, and 1 at least: by how many threads shared a processor in
/// the last minute, or by what the slowest of the computations lasted that this process makes for that, whichever is more.
pub fn crowding() -> f64 {
    load().max(pace()).clamp(1.0, MOST)
}

/// What lasts that long on an idle machine, on this one.
pub fn crowded(work: Duration) -> Duration {
    work.mul_f64(crowding())
}

/// Begins to look how fast the machine is; it is too late for that where a bound is first asked for.
pub(crate) fn watch() {
    samples();
}

fn load() -> f64 {
    // Of the whole machine, as the load is, whatever part of it this process may use.
    let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let numbered = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    let processors = stat.lines().filter(numbered).count() as f64;
    // "0.20 0.18 0.12 1/80 11206": the first is the average of one minute.
    let load = fs::read_to_string("/proc/loadavg").expect("/proc/loadavg");
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).expect("a load");
    load / processors
}

fn pace() -> f64 {
    let samples = samples().lock().unwrap_or_else(PoisonError::into_inner);
    let slowest = samples.iter().max().copied().unwrap_or_default();
    slowest.div_duration_f64(NOMINAL)
}

fn samples() -> &'static Mutex<VecDeque<Duration>> {
    static SAMPLES_OF_ALL: OnceLock<&'static Mutex<VecDeque<Duration>>> = OnceLock::new();
    SAMPLES_OF_ALL.get_or_init(|| {
        let samples: &Mutex<_> = Box::leak(Box::new(Mutex::new(VecDeque::with_capacity(SAMPLES))));
        // It ends with the process, as the tests of one do.
        thread::spawn(move || {
            loop {
                let sample = timed_work();
                let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
                if samples.len() == SAMPLES {
                    samples.pop_front();
                }
                samples.push_back(sample);
                drop(samples);
                thread::park_timeout(PAUSE);
            }
        });
        samples
    })
}

fn timed_work() -> Duration {
    let begun = Instant::now();
    let mut sum = 0_u64;
    for number in 0..STEPS {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(number));
    }
    begun.elapsed()
}
