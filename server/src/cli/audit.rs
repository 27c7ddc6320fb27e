//! The audit trail.

use clap::Args;
use netrox_audit::Target;

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct AuditArgs {
    /// Where the audit log goes, JSON lines of administrative and security events: a file, or `stderr`
    ///
    /// Without it there is none. A file is only appended to (mode 0600), and opened anew where it was moved away.
    #[arg(long, value_name = "FILE|stderr")]
    pub(crate) audit_log: Option<Target>,
}
