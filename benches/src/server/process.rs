//! What a process of the server costs, from /proc.

use std::fs;

use crate::Result;

/// Linux reports CPU time in these, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
const KIB: u64 = 1024;

/// CPU times of a process, user and system, in seconds.
#[derive(Debug)]
pub(crate) struct CpuTimes {
    pub(crate) parent: u32,
    pub(crate) own: f64,
    pub(crate) of_ended_children: f64,
}

impl CpuTimes {
    pub(crate) fn of(process: u32) -> Result<Self> {
        const PARENT: usize = 1;
        const TIMES: usize = 11;
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name before it may hold anything, a parenthesis too.
        let fields = stat.rsplit_once(')').ok_or("no name in /proc/<pid>/stat")?.1;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |index: usize| -> Result<u32> {
            Ok(fields.get(index).ok_or("/proc/<pid>/stat is too short")?.parse()?)
        };
        let seconds = |first| -> Result<f64> {
            Ok((f64::from(field(first)?) + f64::from(field(first + 1)?)) / TICKS_PER_SECOND)
        };
        Ok(Self {
            parent: field(PARENT)?,
            own: seconds(TIMES)?,
            of_ended_children: seconds(TIMES + 2)?,
        })
    }
}

/// Processes of this machine that are looked at together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes(pub(crate) Vec<u32>);

impl Processes {
    /// CPU time so far, user and system, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.0.iter().map(|process| Ok(CpuTimes::of(*process)?.own)).sum()
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The greatest resident memory since [`Self::forget_peak`]; of several processes the sum of
    /// their peaks.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Result<()> {
        const RESET_PEAK: &str = "5";
        for process in &self.0 {
            fs::write(format!("/proc/{process}/clear_refs"), RESET_PEAK)?;
        }
        Ok(())
    }

    fn status(&self, field: &str) -> Result<u64> {
        let mut bytes = 0;
        for process in &self.0 {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.ok_or("a field is missing in /proc/<pid>/status")?;
            bytes += kib.trim().trim_end_matches(" kB").parse::<u64>()? * KIB;
        }
        Ok(bytes)
    }
}
