//! How much the machine's other work holds up a test and the processes that it started.

use std::{fs, time::Duration};

/// Beyond it a bound would say nothing any more.
const MOST: f64 = 3.0;

/// How many threads shared a processor in the last minute, and 1 at least. What is computed lasts that much longer than on an
/// idle machine.
pub fn crowding() -> f64 {
    // Of the whole machine, as the load is, whatever part of it this process may use.
    let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let numbered = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    let processors = stat.lines().filter(numbered).count() as f64;
    // "0.20 0.18 0.12 1/80 11206": the first is the average of one minute.
    let load = fs::read_to_string("/proc/loadavg").expect("/proc/loadavg");
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).expect("a load");
    (load / processors).clamp(1.0, MOST)
}

/// What lasts that long on an idle machine, on this one.
pub fn crowded(work: Duration) -> Duration {
    work.mul_f64(crowding())
}
