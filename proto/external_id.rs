//! What an issuer of access tokens calls a user.

/// A name of a user that counts together with that of its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalId {
    /// Empty where there is but one, without a name.
    issuer: String,
    subject: String,
}

/// Why a text is no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExternalId {
    #[error("an issuer longer than 1024 bytes, or with control characters")]
    Issuer,
    #[error("a subject that is empty, longer than 255 bytes, or has control characters")]
    Subject,
}

const MAX_ISSUER_BYTES: usize = 1_024;
const MAX_SUBJECT_BYTES: usize = 255;

impl ExternalId {
    pub fn new(issuer: String, subject: String) -> Result<Self, InvalidExternalId> {
        if !Self::is_issuer(&issuer) {
            return Err(InvalidExternalId::Issuer);
        }
        if subject.is_empty()
            || subject.len() > MAX_SUBJECT_BYTES
            || subject.contains(char::is_control)
        {
            return Err(InvalidExternalId::Subject);
        }
        Ok(Self { issuer, subject })
    }

    /// Whether a text can stand for an issuer.
    pub fn is_issuer(text: &str) -> bool {
        text.len() <= MAX_ISSUER_BYTES && !text.contains(char::is_control)
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Of both, in bytes.
    pub fn size(&self) -> usize {
        self.issuer.len() + self.subject.len()
    }

    /// The text that its UUID is made of: no two have the same, as neither part holds a line feed.
    pub fn name(&self) -> String {
        format!("{}\n{}", self.issuer, self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_short_texts_without_control_characters() {
        let new = |issuer: &str, subject: &str| ExternalId::new(issuer.into(), subject.into());
        for (issuer, subject) in [
            ("", "7"),
            ("https://tenant.auth0.com/", "auth0|5f7c8ec7c33c6c004bbafe82"),
            ("a b", "ä 🙂"),
            (&"x".repeat(1_024), &"x".repeat(255)),
        ] {
            let id = new(issuer, subject).expect("an external id");
            assert_eq!(id.name(), format!("{issuer}\n{subject}"));
        }
        for issuer in ["a\nb", "\0", "\u{7f}", "\u{85}", &"x".repeat(1_025)] {
            assert_eq!(new(issuer, "x"), Err(InvalidExternalId::Issuer), "{issuer:?}");
        }
        for subject in ["", "\n", "a\0", "\u{9f}", &"x".repeat(256), &"ä".repeat(128)] {
            assert_eq!(new("", subject), Err(InvalidExternalId::Subject), "{subject:?}");
        }
    }
}
