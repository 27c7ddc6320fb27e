//! Limits that edge and core have to have in common.

/// The default of `--max-body-bytes`, in bytes of UTF-8 of a message's body (PROTOCOL section 5).
pub const DEFAULT_MAX_BODY_BYTES: usize = 16_384;
