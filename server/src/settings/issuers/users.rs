//! Whose users those of each issuer are: one issuer's are never another's unless the file says so.

use netrox_edge::config::UserIds;

use super::Entry;
use crate::cli::{JwtClaimArgs, UserIdKind};

/// How the users' ids of each issuer become those here, in the order of the file.
pub(super) fn of_issuers(entries: &[Entry], claims: &JwtClaimArgs) -> Result<Vec<UserIds>, String> {
    let kind = |entry: &Entry| entry.user_ids.unwrap_or(claims.jwt_user_ids);
    let find = |name: &str| entries.iter().find(|entry| entry.issuer == name);
    let mut first: Option<&Entry> = None;
    for entry in entries {
        let refused = |reason: String| Err(format!("issuer {:?}: {reason}", entry.issuer));
        match &entry.same_users_as {
            Some(name) if *name == entry.issuer => {
                return refused("same_users_as: it names the issuer itself".to_owned());
            }
            Some(name) => {
                let Some(other) = find(name) else {
                    return refused(format!("same_users_as: there is no issuer {name:?}"));
                };
                if let Some(further) = &other.same_users_as {
                    return refused(format!(
                        "same_users_as: {name:?} has the users of {further:?} itself: name an issuer \
                         without same_users_as"
                    ));
                }
                if kind(other) != kind(entry) {
                    return refused(format!(
                        "same_users_as: its user_ids and those of {name:?} have to be the same"
                    ));
                }
            }
            None if kind(entry) == UserIdKind::Uuid => match first {
                Some(first) => {
                    let first = &first.issuer;
                    return refused(format!(
                        "it and {first:?} could name each other's users, since both have user_ids \
                         \"uuid\": give it \"user_ids\": \"any\" if they have users of their own, or \
                         \"same_users_as\": {first:?} if their users are the same"
                    ));
                }
                None => first = Some(entry),
            },
            None => {}
        }
    }
    let beside_mapped = entries.iter().any(|entry| kind(entry) == UserIdKind::Any);
    let user_ids = entries.iter().map(|entry| match kind(entry) {
        UserIdKind::Uuid => Ok(UserIds::Uuids { beside_mapped }),
        UserIdKind::Any => {
            let owner = entry.same_users_as.as_ref().unwrap_or(&entry.issuer).clone();
            let user_ids = UserIds::mapped(owner, claims.jwt_user_id_namespace);
            user_ids.map_err(|reason| format!("issuer {:?}: {reason}", entry.issuer))
        }
    });
    user_ids.collect()
}
