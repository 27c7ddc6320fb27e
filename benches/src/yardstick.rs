//! What the machine can do without netrox-chat, measured in the same run: machines are noisy, ratios
//! less so.

pub(crate) mod relay;
pub(crate) mod store;
