//! What the micro-benchmarks reach of the public wire format. Nothing here is part of the interface.

use netrox_proto::{
    ids::UserId,
    limits::DEFAULT_MAX_BODY_BYTES,
    v1::{ListMessagesResponse, Message},
};

use crate::{
    rest::message::renderer,
    wire::v1::{
        client_frame,
        rest::{List, MESSAGES},
        server_frame,
    },
};

/// Whether a frame of a client is taken.
pub fn parse_client_frame(text: &str, sender: UserId) -> bool {
    client_frame::parse(text, sender, DEFAULT_MAX_BODY_BYTES).is_ok()
}

/// The length of the frame that brings a message to its receiver.
pub fn render_server_frame(message: &Message) -> usize {
    server_frame::received(message).map_or(0, |frame| frame.len())
}

/// The length of the JSON of a history of one page, without its end. `first` names the two users.
pub fn render_history(first: &ListMessagesResponse, page: &ListMessagesResponse) -> usize {
    let mut list = List::open(MESSAGES);
    let rendered = renderer(first).and_then(|mut render| render(page, &mut list));
    rendered.map_or(0, |()| list.take_piece().len())
}
