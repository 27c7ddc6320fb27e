//! What the micro-benchmarks reach of the public wire format. Nothing here is part of the interface.

use netrox_proto::{
    ids::UserId,
    v1::{ListMessagesResponse, Message},
};

use crate::{
    rest::{listing::Items, message::renderer},
    wire::v1::{client_frame, server_frame},
};

/// Whether a frame of a client is taken.
pub fn parse_client_frame(text: &str, sender: UserId) -> bool {
    client_frame::parse(text, sender, 16_384).is_ok()
}

/// The length of the frame that brings a message to its receiver.
pub fn render_server_frame(message: &Message) -> usize {
    server_frame::received(message).map_or(0, |frame| frame.len())
}

/// The length of the JSON of a page of a history, whose first response names the two users.
pub fn render_history(first: &ListMessagesResponse, page: &ListMessagesResponse) -> usize {
    let mut items = Items::after("");
    let rendered = renderer(first).and_then(|mut render| render(page, &mut items));
    rendered.map_or(0, |()| items.len())
}
