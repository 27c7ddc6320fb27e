//! What a client may rely on (PROTOCOL-2 section 5).

use serde::Serialize;

use crate::config::Limits;

const MAX_SERVER_FRAME_BYTES: usize = 131_072;
const MAX_META_BYTES: usize = 4_096;
/// A control character takes six in JSON.
const MAX_ESCAPE: usize = 6;
/// Of a frame with a message, besides its text.
const MAX_FRAME_OVERHEAD: usize = 16 * 1024;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct LimitsObject {
    max_body_bytes: usize,
    max_frame_bytes: usize,
    max_server_frame_bytes: usize,
    max_attachment_bytes: u64,
    max_meta_bytes: usize,
    edit_window_s: Option<u64>,
    delete_window_s: Option<u64>,
    retain_s: Option<u64>,
    ping_interval_s: u64,
    search: bool,
}

impl LimitsObject {
    pub(crate) fn of(limits: &Limits) -> Self {
        let largest = limits.max_body_bytes.saturating_mul(MAX_ESCAPE) + MAX_FRAME_OVERHEAD;
        Self {
            max_body_bytes: limits.max_body_bytes,
            max_frame_bytes: limits.max_frame_bytes,
            max_server_frame_bytes: largest.max(MAX_SERVER_FRAME_BYTES),
            max_attachment_bytes: limits.max_attachment_bytes,
            max_meta_bytes: MAX_META_BYTES,
            edit_window_s: Some(24 * 3600),
            delete_window_s: None,
            retain_s: None,
            ping_interval_s: limits.ping_interval.as_secs(),
            search: false,
        }
    }
}
