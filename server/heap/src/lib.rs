//! What a rush took of memory, given back to the system.
//!
//! glibc keeps what is freed for the next allocation, however much it is: whole pages of it go back only from the end
//! of a heap. It has a function that gives back all of them, which no safe crate offers.

/// Gives free pages of the heap back to the system. Takes about a millisecond for each 2 MiB, in which threads may have to wait
/// that allocate; does nothing where the allocator is another than glibc's.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "it is a function of C")]
    // SAFETY: it takes a number and no pointer, may be called by any thread at any time, and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that this process holds in memory of its own; nothing where the system does not tell. Reads a file of the kernel.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn what_was_freed_below_what_is_still_held_goes_back() {
        let before = resident_bytes().expect("a number");
        let mut rush: Vec<_> = (0..64 * 1024).map(|_| vec![7_u8; 1000]).collect();
        // The end of the heap stays in use.
        let last = rush.pop();
        drop(rush);
        assert!(resident_bytes().expect("a number") > before + 48 * MIB, "it goes back by itself");
        give_back();
        let after = resident_bytes().expect("a number");
        assert!(after < before + 8 * MIB, "{before} before, {after} after");
        drop(last);
    }
}
