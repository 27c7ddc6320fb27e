//! `GET /v2/openapi.json`, `GET /v2/asyncapi.json`: both generations, described for machines. They are written as YAML in `docs/`.

use axum::response::Response;
use http::StatusCode;

use crate::wire::v1::rest::respond;

pub(super) const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));
pub(super) const ASYNCAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/asyncapi.json"));

pub(super) async fn openapi() -> Response {
    respond(StatusCode::OK, OPENAPI)
}

pub(super) async fn asyncapi() -> Response {
    respond(StatusCode::OK, ASYNCAPI)
}
