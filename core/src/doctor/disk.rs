//! The disks of a core: room, and how long it takes until what is written is there for good.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use netrox_diagnosis::{Report, Subject};

use crate::{
    config::{Config, Database, MediaLocation},
    lifecycle::existing_above,
};

/// What is to be free beside the data: the log of SQLite, and as much to be written back.
const ROOM_BYTES: u64 = 128 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// Each file of a message is one.
const FEW_FILES: u64 = 1_000;
const SYNCS: u32 = 20;
/// For all of them.
const SYNCS_TIMEOUT: Duration = Duration::from_secs(2);
const BLOCK: [u8; 4096] = [b'n'; 4096];
/// A batch waits for a sync, and everybody for a batch.
const SLOW_SYNC: Duration = Duration::from_millis(100);

/// What is kept in files. It blocks.
pub(super) fn examine(config: &Config, report: &mut Report) {
    let mut kept = Vec::new();
    let mut database = None;
    if let Database::Sqlite(path) = &config.database {
        // A path without a directory is one of this directory.
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let beside = existing_above(beside.unwrap_or(Path::new("."))).to_owned();
        database = Some(beside.clone());
        kept.push(beside);
    }
    if let MediaLocation::Directory(path) = &config.media {
        kept.push(existing_above(path).to_owned());
    }
    for directory in one_of_each_disk(kept) {
        look_at_room(&directory, report);
    }
    let Some(directory) = database else { return };
    let name = directory.display().to_string();
    match time_syncs(&directory) {
        Ok(Syncs { fastest, mean }) if fastest > SLOW_SYNC => {
            let cause = format!(
                "{name}: each sync takes {fastest:.0?} or more ({mean:.0?} on average), and sends wait for one"
            );
            let remedy =
                "look at the load of the disk and at dmesg, or take a disk that is faster in fsync";
            report.find(Subject::Disk, cause, remedy);
        }
        Ok(Syncs { mean, .. }) => {
            let a_second = 1.0 / mean.as_secs_f64().max(1e-6);
            let text = format!("{name}: {a_second:.0} syncs a second, {mean:.1?} each");
            report.note(Subject::Disk, text);
        }
        // Who may not write there is told so elsewhere.
        Err(error) => {
            let text = format!("the time of a sync: no file can be written in {name}: {error}");
            report.skip(Subject::Disk, text);
        }
    }
}

/// One that is full is one finding, whatever is on it.
fn one_of_each_disk(directories: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut disks = BTreeMap::new();
    for directory in directories {
        if let Ok(metadata) = directory.metadata() {
            disks.entry(metadata.dev()).or_insert(directory);
        }
    }
    disks.into_values().collect()
}

fn look_at_room(directory: &Path, report: &mut Report) {
    let name = directory.display();
    let disk = match rustix::fs::statvfs(directory) {
        // In memory alone, for example.
        Ok(disk) if disk.f_blocks == 0 => return,
        Ok(disk) => disk,
        Err(error) => {
            return report.skip(Subject::Disk, format!("the room of {name}: {error}"));
        }
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < ROOM_BYTES {
        let (free, wanted) = (free / MIB, ROOM_BYTES / MIB);
        let cause = format!(
            "the disk of {name} has {free} MiB left, and less than {wanted} MiB is too little"
        );
        report.find(Subject::Disk, cause, "make room, or move the data to a larger disk");
    } else if disk.f_files > 0 && disk.f_favail < FEW_FILES {
        let cause = format!("the disk of {name} takes {} files more", disk.f_favail);
        report.find(Subject::Disk, cause, "remove files: the file system has no more inodes");
    } else {
        report.note(Subject::Disk, format!("{name}: {} MiB are free", free / MIB));
    }
}

struct Syncs {
    fastest: Duration,
    mean: Duration,
}

/// In a file without a name where that can be, so that nothing is left of it whatever happens.
fn time_syncs(directory: &Path) -> io::Result<Syncs> {
    let mut file: File = tempfile::tempfile_in(directory)?;
    let began = Instant::now();
    let (mut fastest, mut count) = (Duration::MAX, 0);
    while count < SYNCS && (count == 0 || began.elapsed() < SYNCS_TIMEOUT) {
        let begun = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        fastest = fastest.min(begun.elapsed());
        count += 1;
    }
    Ok(Syncs { fastest, mean: began.elapsed() / count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_timed_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let Syncs { fastest, mean } = time_syncs(directory.path()).unwrap();
        assert!(fastest <= mean && mean > Duration::ZERO);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_is_looked_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let media = directory.path().join("media");
        std::fs::create_dir(&media).unwrap();
        let disks = one_of_each_disk(vec![directory.path().to_owned(), media]);
        assert_eq!(disks, [directory.path()]);
    }
}
