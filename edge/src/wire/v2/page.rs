//! `next`: where a list goes on. It is opaque to clients, and holds all of the query but the limit; of another user or another
//! list it is none.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use netrox_proto::ids::UserId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::problem::Problem;

/// Longer ones are none of ours.
const MAX_BYTES: usize = 2048;

/// A place in a list of a kind.
pub(crate) trait Place: Serialize + DeserializeOwned {
    /// Which list, in a word.
    const LIST: &'static str;
}

#[derive(Serialize, Deserialize)]
struct Whole<P>(String, String, P);

pub(crate) fn encode<P: Place>(place: P, user: UserId) -> Result<String, serde_json::Error> {
    let json = serde_json::to_vec(&Whole(P::LIST.to_owned(), user.to_string(), place))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
}

pub(crate) fn parse<P: Place>(text: &str, user: UserId) -> Result<P, Problem> {
    let whole = (text.len() <= MAX_BYTES).then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
    let whole = whole.flatten().and_then(|json| serde_json::from_slice(&json).ok());
    match whole {
        Some(Whole(list, of, place)) if list == P::LIST && of.parse() == Ok(user) => Ok(place),
        _ => Err(Problem::invalid_field("next", "must be that of a page of this list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Here(u64);

    impl Place for Here {
        const LIST: &'static str = "here";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct There(u64);

    impl Place for There {
        const LIST: &'static str = "there";
    }

    #[test]
    fn a_place_is_of_one_user_and_one_list() {
        let (alice, bob) = (UserId(uuid::Uuid::from_u128(1)), UserId(uuid::Uuid::from_u128(2)));
        let next = encode(Here(7), alice).expect("JSON");
        assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(parse::<Here>(&next, alice).ok(), Some(Here(7)));
        assert!(parse::<Here>(&next, bob).is_err());
        assert!(parse::<There>(&next, alice).is_err());
        for wrong in ["", "x", "%%", &next[..next.len() - 1], &"A".repeat(10_000)] {
            assert!(parse::<Here>(wrong, alice).is_err(), "{wrong}");
        }
    }
}
