//! PROTOCOL section 3: the WebSocket.

mod catch_up;
mod change;
mod connection;
mod delivery;
mod error;
mod file;
mod framing;
mod handshake;
mod keep_alive;
mod order;
mod rate;
mod slow;
mod text;
