//! A database that goes back, is exchanged, or moves, under sockets and streams that stay: whatever is stored afterwards is
//! shown by each of them, once and in order, or it is told that its position is no part of the history any more. No id is
//! given twice. Where nothing was lost, nobody is told anything.

mod again;
mod book;
mod bookmark;
mod change;
mod crowd;
mod device;
mod dump;
mod elsewhere;
mod failover;
mod moved;
mod place;
mod reader;
mod recovery;
mod restart;
mod restore;
mod story;
mod stream;
mod ways;
mod witness;
