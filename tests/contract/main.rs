//! The gRPC contract (`proto/netrox/chat/v1/*.proto`), tried from outside on a running core.

mod released;
mod shape;
