//! Limits that edge and core have to have in common.

/// The default of `--max-body-bytes`, in bytes of UTF-8 of a message's body (PROTOCOL section 5).
pub const DEFAULT_MAX_BODY_BYTES: usize = 16_384;

/// Bytes of `meta` of a message (PROTOCOL-2 section 3), and how deep it is nested, itself being the first level.
pub const MAX_META_BYTES: usize = 4_096;
pub const MAX_META_DEPTH: usize = 8;
