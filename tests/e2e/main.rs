//! The documented behaviour, from outside: real processes, real sockets, each test in both
//! arrangements (`serve` and `split`).

mod attachment;
mod golden;
mod health;
mod identity;
mod media;
mod program;
mod rest;
mod ws;
