//! What an object store says when it fails, in one line.

use std::error::Error;

/// What S3 answers if it is not the request that is wrong.
const PASSING: [&str; 5] =
    ["InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"];

/// Its text has no address and no answer of a server: those may repeat what was signed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct StoreError {
    text: String,
    is_out_of_reach: bool,
}

impl StoreError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_out_of_reach: false }
    }

    pub(super) fn out_of_reach(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_out_of_reach: true }
    }

    /// Whether no setting is wrong as far as is known, and the store may be in reach later.
    pub fn is_out_of_reach(&self) -> bool {
        self.is_out_of_reach
    }

    /// Whether it is the whole bucket that is missing.
    pub(super) fn is_missing_bucket(&self) -> bool {
        self.text.contains("NoSuchBucket")
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        let text = error.to_string();
        if let Some(code) = code(&text) {
            let is_out_of_reach = PASSING.contains(&code);
            return Self { text: format!("the server answered {code}"), is_out_of_reach };
        }
        if let Some(status) = status(&text) {
            let is_out_of_reach = status.starts_with('5') || status.starts_with("429");
            let text = format!("the server answered {status}, and not as S3 does");
            return Self { text, is_out_of_reach };
        }
        if !text.contains("://") {
            return Self::new(text);
        }
        // A request failed: its last cause says why.
        let mut cause: &dyn Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let text = cause.to_string();
        Self::out_of_reach(text.trim_end_matches([':', ' ']))
    }
}

/// Of an error document of S3.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    code.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(code)
}

/// Of an answer that is no such document.
fn status(text: &str) -> Option<&str> {
    if text.contains("Server returned error response: ") {
        return Some("with an error");
    }
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    let status = rest.split(':').next()?.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '-';
    status.chars().all(is_plain).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        object_store::Error::Generic { store: "S3", source: text.into() }.into()
    }

    #[test]
    fn an_answer_is_its_code_alone() {
        let document = "Error performing PUT http://s3/bucket/x in 3ms - Server returned non-2xx \
                        status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                        <StringToSign>hunter2</StringToSign></Error>";
        let error = generic(document).to_string();
        assert_eq!(error, "the server answered SignatureDoesNotMatch");
        assert!(!generic(document).is_out_of_reach());
        let document = document.replace("SignatureDoesNotMatch", "SlowDown");
        assert!(generic(&document).is_out_of_reach());
    }

    #[test]
    fn an_answer_that_is_no_document_of_s3_is_its_status_alone() {
        for (answer, told) in [
            (
                "non-2xx status code: 500 Internal Server Error: <?xml hunter2",
                "500 Internal Server Error",
            ),
            ("non-2xx status code: 502 Bad Gateway: ", "502 Bad Gateway"),
            ("error response: <html>hunter2", "with an error"),
        ] {
            let text = format!(
                "Error performing PUT http://s3/bucket/x in 3ms - Server returned {answer}"
            );
            let error = generic(&text).to_string();
            assert_eq!(error, format!("the server answered {told}, and not as S3 does"));
        }
    }

    #[test]
    fn a_request_is_its_last_cause_without_the_address() {
        let refused = std::io::Error::other("connection refused");
        let source = Box::new(Request(refused));
        let error: StoreError = object_store::Error::Generic { store: "S3", source }.into();
        assert_eq!(error.to_string(), "connection refused");
        assert!(error.is_out_of_reach());
    }

    #[derive(Debug, thiserror::Error)]
    #[error("Error performing GET http://me:hunter2@s3/bucket")]
    struct Request(#[source] std::io::Error);
}
