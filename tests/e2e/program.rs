//! PROTOCOL section 6: the program, as a script sees it.

mod data_dir;
mod log;
mod log_fields;
mod log_filter;
mod pooler;
mod postgres;
mod role;
mod secret;
mod services;
mod setting;
mod shutdown;
mod token;
