//! What an operator can set of a core.

use std::path::PathBuf;

#[derive(Clone)]
pub struct Config {
    /// Locked against a second process while the core is open.
    pub data_dir: PathBuf,
    /// The SQLite database file; created where it is missing.
    pub database: PathBuf,
    /// Where attachments are kept; created where it is missing.
    pub media_dir: PathBuf,
    /// The bearer credentials that callers may present, at least one.
    pub service_tokens: Vec<String>,
    /// Bytes of UTF-8 of a message body.
    pub max_body_bytes: usize,
    /// Bytes of an uploaded file.
    pub max_attachment_bytes: u64,
}

/// Credentials stay out of logs.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("database", &self.database)
            .field("media_dir", &self.media_dir)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_attachment_bytes", &self.max_attachment_bytes)
            .finish_non_exhaustive()
    }
}
