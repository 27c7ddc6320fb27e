//! Conditional requests for a file (RFC 9110 section 13).

use std::time::{Duration, SystemTime};

use headers::{
    ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
    LastModified,
};
use http::{HeaderMap, header};

/// A file never changes: its random name is its version.
pub(super) struct Version {
    pub(super) etag: ETag,
    pub(super) modified: LastModified,
}

impl Version {
    pub(super) fn new(path: &str, created_micros: i64) -> Result<Self, headers::Error> {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Conditional requests know whole seconds only.
        let seconds = u64::try_from(created_micros / 1_000_000).unwrap_or_default();
        let etag = format!("\"{name}\"").parse().map_err(|_| headers::Error::invalid())?;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Ok(Self { etag, modified: modified.into() })
    }

    /// Whether it is the one that the client wants or nothing. `If-Match` comes before `If-Unmodified-Since`, and both
    /// before whether the client has it (RFC 9110 section 13.2.2).
    pub(super) fn is_wanted(&self, request: &HeaderMap) -> bool {
        if request.contains_key(header::IF_MATCH) {
            let condition = request.typed_get::<IfMatch>();
            return condition.is_some_and(|condition| condition.precondition_passes(&self.etag));
        }
        request
            .typed_get::<IfUnmodifiedSince>()
            .is_none_or(|since| since.precondition_passes(self.modified.into()))
    }

    /// Whether the client has it already. `If-None-Match` comes before `If-Modified-Since`
    /// (RFC 9110 section 13.2.2).
    pub(super) fn is_current(&self, request: &HeaderMap) -> bool {
        if request.contains_key(header::IF_NONE_MATCH) {
            let condition = request.typed_get::<IfNoneMatch>();
            return condition.is_some_and(|condition| !condition.precondition_passes(&self.etag));
        }
        request
            .typed_get::<IfModifiedSince>()
            .is_some_and(|since| !since.is_modified(self.modified.into()))
    }

    /// Whether the client's part is of this version, or it has none.
    pub(super) fn may_be_continued(&self, request: &HeaderMap) -> bool {
        if !request.contains_key(header::IF_RANGE) {
            return true;
        }
        let condition = request.typed_get::<IfRange>();
        condition.is_some_and(|part| !part.is_modified(Some(&self.etag), Some(&self.modified)))
    }
}
