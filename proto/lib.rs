//! The gRPC contract between the edge, the core and internal services.
//!
//! * [`v1`]: the generated messages, clients and servers of `netrox.chat.v1`.
//! * [`health`]: those of `grpc.health.v1`.
//! * [`ids`]: the identifiers of the contract as types, with their wire form.
//! * [`external_id`]: what an issuer of access tokens calls a user.
//! * [`error`]: why a call was refused, as status details.
//! * [`request_id`]: what a request is called on its way; [`trace_context`]: where it is in its trace.
//! * [`attachment_path`], [`file_size`], [`json`], [`limits`]: rules that both sides hold the world to.
//! * [`time`]: microseconds since the epoch and their wire form.
//! * [`token_name`]: how the name of an access token is kept.
//! * [`codec`]: the codec of the generated code.

#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else"))]

pub mod attachment_path;
pub mod codec;
pub mod error;
pub mod external_id;
pub mod file_size;
pub mod ids;
pub mod json;
pub mod limits;
pub mod request_id;
pub mod time;
pub mod token_name;
pub mod trace_context;

#[allow(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    rustdoc::invalid_html_tags,
    unreachable_pub,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("netrox.chat.v1");
}

#[allow(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    rustdoc::invalid_html_tags,
    unreachable_pub,
    reason = "generated"
)]
pub mod health {
    tonic::include_proto!("grpc.health.v1");

    /// The compiled proto.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/health.bin"));
}

/// The paths of all methods that take one request.
pub const ONE_REQUEST: &[&str] = &include!(concat!(env!("OUT_DIR"), "/one_request.rs"));

/// The paths of all methods that stream their answers.
pub const MANY_ANSWERS: &[&str] = &include!(concat!(env!("OUT_DIR"), "/many_answers.rs"));

/// The compiled protos with their comments, as a `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
