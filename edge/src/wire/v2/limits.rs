//! What a client is told of the limits (PROTOCOL-2 section 5).

use std::time::Duration;

use serde::Serialize;

use crate::config::Limits;
use netrox_proto::limits::MAX_META_BYTES;

/// Bytes of a frame to a client: each is below it, unless texts may be longer than by default.
const MAX_SERVER_FRAME_BYTES: usize = 131_072;
/// A control character takes six in JSON.
const MAX_ESCAPE: usize = 6;
/// Of a frame with a message, besides its text.
const MAX_FRAME_OVERHEAD: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct LimitsObject {
    max_body_bytes: usize,
    max_frame_bytes: usize,
    max_server_frame_bytes: usize,
    max_attachment_bytes: u64,
    max_meta_bytes: usize,
    /// Null where it never ends.
    edit_window_s: Option<u64>,
    /// Null where it never ends.
    delete_window_s: Option<u64>,
    /// Null where messages are kept for ever.
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
            edit_window_s: limits.edit_window.as_ref().map(Duration::as_secs),
            delete_window_s: limits.delete_window.as_ref().map(Duration::as_secs),
            // A message is not gone before.
            retain_s: limits.retain_messages.map(whole_seconds),
            ping_interval_s: whole_seconds(limits.ping_interval),
            search: limits.search,
        }
    }
}

/// Begun ones count as whole.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(limits: &Limits) -> String {
        serde_json::to_string(&LimitsObject::of(limits)).expect("JSON")
    }

    #[test]
    fn the_limits_are_told_in_order() {
        assert_eq!(
            told(&Limits::default()),
            concat!(
                r#"{"max_body_bytes":16384,"max_frame_bytes":65536,"#,
                r#""max_server_frame_bytes":131072,"max_attachment_bytes":26214400,"#,
                r#""max_meta_bytes":4096,"edit_window_s":86400,"delete_window_s":null,"#,
                r#""retain_s":null,"ping_interval_s":25,"search":false}"#,
            )
        );
    }

    #[test]
    fn a_window_may_have_no_end_or_be_shut() {
        let limits = Limits {
            edit_window: None,
            delete_window: Some(Duration::ZERO),
            retain_messages: Some(Duration::from_millis(86_400_500)),
            ping_interval: Duration::from_millis(20),
            ..Limits::default()
        };
        let windows =
            r#""edit_window_s":null,"delete_window_s":0,"retain_s":86401,"ping_interval_s":1,"#;
        assert!(told(&limits).contains(windows), "{}", told(&limits));
    }
}
