//! The limit of open files, one of which each connection takes.

use crate::secret::Warnings;

/// Raises the limit as far as the process may, warns where that is too low for an edge, and gives what it is.
pub(crate) fn raise_limit(max_connections: Option<usize>, warnings: &mut Warnings) -> Option<u64> {
    match (rlimit::increase_nofile_limit(u64::MAX), max_connections) {
        (Ok(limit), Some(wanted)) if limit < wanted as u64 => {
            warnings.add(format!(
                "only {limit} files may be open (ulimit -Hn), fewer than --max-connections {wanted}"
            ));
            Some(limit)
        }
        (Ok(limit), _) => Some(limit),
        (Err(error), _) => {
            warnings.add(format!("failed to raise the limit of open files: {error}"));
            None
        }
    }
}
