//! A user.

use netrox_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

/// `{"id": …, "email": …, "profile": …}`
#[derive(Debug, Serialize)]
pub(crate) struct UserObject<'a> {
    id: &'a str,
    email: &'a str,
    profile: Option<&'a RawValue>,
}

impl<'a> UserObject<'a> {
    pub(crate) fn of(user: &'a v1::User) -> Self {
        // The directory takes only JSON; anything else must not break the whole answer.
        let profile = user.profile_json.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self { id: &user.id, email: &user.email, profile }
    }
}
