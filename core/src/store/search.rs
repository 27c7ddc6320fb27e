//! What messages are found by (`--search`).
//!
//! The index is of letters, three in a row each, over folded text: a word is found wherever it stands in another, also where none is
//! spaced. Each entry names the users who may find it by a token among its words, so that what others wrote is not read through.
//! What the index finds is read from the table of messages and compared: what is answered is as it stands there.
//!
//! * [`fold`](mod@fold): what becomes of a text; [`words`]: what is searched for.
//! * [`entry`]: what the index has of a message.
//! * [`sqlite`], [`postgres`]: the index of each engine, and how it is turned on and off.
//! * [`build`]: what was stored before it, or without it.
//! * [`damage`]: what becomes of an index that is not sound.
//! * [`find`]: the newest messages with all words.
//!
//! An entry is written in the transaction of its message, unless there is very much text in it: then the message is noted in
//! `unindexed_messages`, and looked for by itself until it is indexed. Where `--search` was on and no longer is, triggers note in
//! `unindexed_messages` what is stored and changed, and take away what was changed. On PostgreSQL they do so for the sessions of
//! cores without it, also of versions that do not know it.

pub(super) mod build;
mod damage;
pub(crate) mod entry;
mod find;
mod fold;
pub(super) mod postgres;
pub(super) mod sqlite;
mod words;

pub(crate) use self::{
    build::{Built, Left},
    damage::Damage,
    entry::Budget,
    find::{Found, Search},
    words::Words,
};
