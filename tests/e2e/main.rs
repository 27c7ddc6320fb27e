//! The documented behaviour, from outside: real processes, real sockets, each test in both
//! arrangements (`serve` and `split`).

mod health;
