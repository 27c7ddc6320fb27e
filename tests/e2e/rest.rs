//! PROTOCOL section 2: the REST routes, attachments aside.

mod concurrency;
mod core_gone;
mod cors;
mod cut_off;
mod history;
mod http_layer;
mod messages;
mod routes;
mod threads;
