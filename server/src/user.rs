//! `netrox-chat user`: what whoever runs the service does about one user. What was found or done goes to stdout, what the operator
//! should know to stderr.
//!
//! * [`shown`]: how it is printed; [`export`]: all of a user's data.

use std::{
    io::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use netrox_proto::v1::{
    DeleteUserRequest, EndSessionsRequest, ExternalId, GetUserRecordRequest, ListSessionsRequest,
    ListSessionsResponse, RevokeTokensRequest, UserRecord, end_sessions_request::Sessions,
    get_user_record_request::User, revoke_tokens_request::Tokens,
};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};
use tonic::Request;
use uuid::Uuid;

use crate::{
    cli::{LinkArgs, UserAction, UserArgs, WhoArgs},
    failure::Failure,
    link::{CALL_DEADLINE, Link, refused},
    secret::Warnings,
    settings,
    sources::{SettingError, Sources},
};

mod export;
pub(crate) mod shown;

use self::shown::{of_record, of_sessions, print, time};

pub(crate) fn run(args: &UserArgs, sources: &Sources) -> Result<(), Failure> {
    check(args, sources)?;
    let settings = link_settings(&args.link, sources)?;
    runtime()?.block_on(async {
        let link = Link::open(settings).await?;
        let user = find(&link, &args.user, &args.who, sources).await?;
        match args.action {
            UserAction::Show => show(&link, user, args, sources).await,
            UserAction::Sessions => sessions(&link, user, args, sources).await,
            UserAction::End => end(&link, user, args, sources).await,
            UserAction::Revoke => revoke(&link, user, args, sources).await,
            UserAction::Delete => delete(&link, user, args, sources).await,
            UserAction::Export => {
                let directory = args.directory.as_deref();
                let directory =
                    directory.ok_or_else(|| SettingError::new("DIR", "must be given"))?;
                export::run(&link, user, directory, args.who.json, sources).await
            }
        }
    })
}

/// A flag of another action was meant for something else.
fn check(args: &UserArgs, sources: &Sources) -> Result<(), Failure> {
    let action = args.action;
    let of = [
        ("session", UserAction::End, args.session.is_some()),
        ("issued-before", UserAction::Revoke, args.issued_before.is_some()),
        ("expires-at", UserAction::Revoke, args.expires_at.is_some()),
        ("yes", UserAction::Delete, args.yes),
        ("erase-messages", UserAction::Delete, args.erase_messages),
    ];
    for (flag, its, is_given) in of {
        if is_given && action != its {
            return Err(sources.refuse(flag, "is of another action").into());
        }
    }
    let name = SettingError::new;
    match (action, &args.directory) {
        (UserAction::Export, None) => Err(name("DIR", "must be given").into()),
        (UserAction::Export, Some(_)) => Ok(()),
        (_, Some(_)) => Err(name("DIR", "is of `user export` alone").into()),
        (UserAction::Delete, None) if !args.yes => {
            let reason = "must be given: email, profile and external id are erased for good, and nobody can \
                          write to the user any more";
            Err(sources.refuse("yes", reason).into())
        }
        (_, None) => Ok(()),
    }
}

pub(crate) fn link_settings(
    args: &LinkArgs,
    sources: &Sources,
) -> Result<settings::LinkSettings, Failure> {
    let mut warnings = Warnings::of_environment();
    let settings = settings::link(args, sources, &mut warnings)?;
    for warning in warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    Ok(settings)
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Failure::System { what: "starting the runtime", source })
}

/// A call with its deadline.
pub(crate) fn within_deadline<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_DEADLINE);
    request
}

/// The id of the user who is meant. Asks the core for one who is called otherwise.
pub(crate) async fn find(
    link: &Link,
    user: &str,
    who: &WhoArgs,
    sources: &Sources,
) -> Result<Uuid, Failure> {
    let unknown = |reason| SettingError::new("USER", reason);
    let Some(issuer) = &who.issuer else {
        let id = user.parse::<netrox_proto::ids::UserId>();
        return match id {
            Ok(id) => Ok(id.0),
            Err(_) => {
                Err(unknown("not a hyphenated UUID; with --issuer, what the issuer calls the user")
                    .into())
            }
        };
    };
    let id = ExternalId { issuer: issuer.clone(), subject: user.to_owned() };
    let record = record(link, User::ExternalId(id), sources).await?;
    let id = record.user.and_then(|user| Uuid::try_parse(&user.id).ok());
    id.ok_or_else(|| unknown("the core gave no id of this user").into())
}

async fn record(link: &Link, user: User, sources: &Sources) -> Result<UserRecord, Failure> {
    let request = within_deadline(GetUserRecordRequest { user: Some(user) });
    let answer = link.admin().get_user_record(request).await;
    let answer = answer.map_err(|status| refused(&status, "looking up the user", sources))?;
    Ok(answer.into_inner().record.unwrap_or_default())
}

async fn show(link: &Link, user: Uuid, args: &UserArgs, sources: &Sources) -> Result<(), Failure> {
    let record = record(link, User::UserId(user.to_string()), sources).await?;
    print(&of_record(&record), args.who.json)
}

async fn sessions(
    link: &Link,
    user: Uuid,
    args: &UserArgs,
    sources: &Sources,
) -> Result<(), Failure> {
    let listed = list_sessions(link, user, sources).await?;
    if !listed.is_complete {
        let silent = listed.silent_edges.join(", ");
        let _ = writeln!(io::stderr(), "warning: edges have not answered: {silent}");
    }
    print(&of_sessions(&listed), args.who.json)
}

async fn list_sessions(
    link: &Link,
    user: Uuid,
    sources: &Sources,
) -> Result<ListSessionsResponse, Failure> {
    let request = within_deadline(ListSessionsRequest { user_id: user.to_string() });
    let answer = link.sessions().list_sessions(request).await;
    let answer = answer.map_err(|status| refused(&status, "listing the sessions", sources))?;
    Ok(answer.into_inner())
}

/// An id of another user's session is a mistake, and would end theirs.
async fn check_session(
    link: &Link,
    user: Uuid,
    session: &str,
    sources: &Sources,
) -> Result<(), Failure> {
    let listed = list_sessions(link, user, sources).await?;
    if listed.sessions.iter().any(|its| its.session_id == session) {
        return Ok(());
    }
    let mut reason = "the user has no such session".to_owned();
    if !listed.is_complete {
        reason += &format!("; edges have not answered: {}", listed.silent_edges.join(", "));
    }
    Err(Failure::System { what: "ending the session", source: io::Error::other(reason) })
}

async fn end(link: &Link, user: Uuid, args: &UserArgs, sources: &Sources) -> Result<(), Failure> {
    let (sessions, done) = match &args.session {
        None => (
            Sessions::UserId(user.to_string()),
            json!({ "user_id": user, "ended": "all sessions" }),
        ),
        Some(session) => {
            check_session(link, user, session, sources).await?;
            (Sessions::SessionId(session.clone()), json!({ "user_id": user, "ended": session }))
        }
    };
    let request = within_deadline(EndSessionsRequest { sessions: Some(sessions) });
    let answer = link.sessions().end_sessions(request).await;
    answer.map_err(|status| refused(&status, "ending the sessions", sources))?;
    print(&done, args.who.json)
}

async fn revoke(
    link: &Link,
    user: Uuid,
    args: &UserArgs,
    sources: &Sources,
) -> Result<(), Failure> {
    let request = within_deadline(RevokeTokensRequest {
        tokens: Some(Tokens::UserId(user.to_string())),
        issued_before: args.issued_before.map(timestamp),
        expires_at: args.expires_at.map(timestamp),
    });
    let answer = link.sessions().revoke_tokens(request).await;
    let answer = answer.map_err(|status| refused(&status, "revoking the tokens", sources))?;
    let kept = answer.into_inner();
    let done = json!({
        "user_id": user,
        "revoked_until": time(kept.issued_before.as_ref()),
        "kept_until": match &kept.expires_at {
            Some(at) => time(Some(at)),
            None => Value::from("for ever"),
        },
    });
    print(&done, args.who.json)
}

async fn delete(
    link: &Link,
    user: Uuid,
    args: &UserArgs,
    sources: &Sources,
) -> Result<(), Failure> {
    let erase_messages = args.erase_messages;
    let request = DeleteUserRequest { user_id: user.to_string(), erase_messages };
    let request = within_deadline(request);
    let answer = link.directory().delete_user(request).await;
    let answer = answer.map_err(|status| refused(&status, "deleting the user", sources))?;
    if erase_messages && !answer.into_inner().erasing_messages {
        let reason = "the user is deleted, and nothing that they have sent is erased: the core is of an earlier \
                      version. Repeat it when all cores are upgraded";
        let source = io::Error::other(reason);
        return Err(Failure::System { what: "erasing what the user has sent", source });
    }
    let mut done = json!({ "user_id": user, "deleted": true });
    if erase_messages {
        // It goes on for a while.
        done["erasing_messages"] = true.into();
    }
    print(&done, args.who.json)
}

/// Before 1970 it is 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: since.subsec_nanos().cast_signed(),
    }
}
