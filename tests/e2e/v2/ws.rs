//! PROTOCOL-2 sections 1 to 4: the WebSocket.

mod change;
mod drain;
mod handshake;
mod javascript;
mod presence;
mod receipt;
mod resume;
mod send;
mod ticket;
mod token;
mod typing;
