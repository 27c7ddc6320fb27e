//! Who is online, and who may see it.

use netrox_proto::{ids::UserId, v1};

use super::Chat;
use crate::{
    command::parse,
    committer::Hide,
    error::Error,
    metrics::Stream,
    presence::{MAX_PEERS, WatchStream},
};

pub(super) async fn set(chat: &Chat, request: v1::SetPresenceRequest) -> Result<(), Error> {
    let v1::SetPresenceRequest { user_id, visibility } = request;
    let user = parse::user_id("user_id", &user_id)?;
    let hides = match v1::Visibility::try_from(visibility) {
        Ok(v1::Visibility::Peers) => false,
        Ok(v1::Visibility::Nobody) => true,
        Ok(v1::Visibility::Unspecified) | Err(_) => {
            let problem = "neither peers nor nobody";
            return Err(Error::InvalidField { field: "visibility", problem });
        }
    };
    // What it is already is neither written nor told to anybody.
    let before = chat.presence.visibility(user).await.ok();
    if before.is_none_or(|before| (before == v1::Visibility::Nobody) != hides) {
        chat.committer.submit(Hide { user, hides })?.answer().await?;
    }
    Ok(())
}

pub(super) async fn get(
    chat: &Chat,
    request: v1::GetPresenceRequest,
) -> Result<v1::GetPresenceResponse, Error> {
    let v1::GetPresenceRequest { user_id, peer_ids } = request;
    let (user, peers) = watch_of(&user_id, &peer_ids)?;
    let visibility = chat.presence.visibility(user).await?.into();
    let presences = chat.presence.look(user, &peers).await?;
    Ok(v1::GetPresenceResponse { presences, visibility })
}

pub(super) async fn watch(
    chat: &Chat,
    request: v1::WatchPresenceRequest,
) -> Result<WatchStream, Error> {
    let v1::WatchPresenceRequest { user_id, peer_ids } = request;
    let (user, peers) = watch_of(&user_id, &peer_ids)?;
    chat.presence.visibility(user).await?;
    let open = chat.streams.open(Stream::Presence);
    Ok(chat.presence.watch(user, peers, open))
}

/// Who asks about whom.
fn watch_of(user_id: &str, peer_ids: &[String]) -> Result<(UserId, Vec<UserId>), Error> {
    Ok((parse::user_id("user_id", user_id)?, watched("peer_ids", peer_ids)?))
}

/// Those who are watched.
pub(super) fn watched(field: &'static str, ids: &[String]) -> Result<Vec<UserId>, Error> {
    if ids.len() > MAX_PEERS {
        return Err(Error::InvalidField { field, problem: "more than 100" });
    }
    ids.iter().map(|id| parse::user_id(field, id)).collect()
}
