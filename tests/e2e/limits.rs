//! PROTOCOL section 5: what an address, a user and all together may do at a time.

mod address;
mod download;
mod quota;
mod stranger;
mod turn;
mod upload;
