//! The documented behaviour, from outside: real processes, real sockets, each test in both
//! arrangements (`serve` and `split`).

mod attachment;
mod crash;
mod drain;
mod faults;
mod flow;
mod golden;
mod health;
mod hostile;
mod identity;
mod media;
mod memory;
mod program;
mod rest;
mod restart;
mod ws;
