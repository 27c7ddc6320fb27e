//! What frames and answers of the second generation are made of (PROTOCOL-2 section 2). Their keys have this order, and more
//! are added at the end alone.

mod block;
mod message;
#[cfg(test)]
mod tests;
mod thread;
mod user;

pub(crate) use self::{
    block::BlockObject,
    message::MessageObject,
    thread::{ThreadObject, ThreadStateObject},
    user::UserObject,
};
