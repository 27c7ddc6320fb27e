//! PROTOCOL-2 sections 1 to 4: the WebSocket.

mod change;
mod handshake;
mod receipt;
mod resume;
mod send;
