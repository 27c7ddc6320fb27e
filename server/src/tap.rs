//! `netrox-chat tap`: what a user's devices learn, as they learn it, until it is interrupted. Lines go to stdout.

use std::io::{self, Write as _};

use netrox_proto::v1::{Event, SubscribeResponse, TapUserRequest, event::Change};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    cli::TapArgs,
    failure::Failure,
    link::{Link, refused},
    signals::interrupted,
    sources::Sources,
    user::{
        find, link_settings, runtime,
        shown::{of_message, of_state},
    },
};

const WHAT: &str = "the tap";

pub(crate) fn run(args: &TapArgs, sources: &Sources) -> Result<(), Failure> {
    let settings = link_settings(&args.link, sources)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            tapped = tap(args, settings, sources) => tapped,
            () = interrupted() => Ok(()),
        }
    });
    // A write to a pipe that nobody reads from may still wait.
    runtime.shutdown_background();
    ended
}

async fn tap(
    args: &TapArgs,
    settings: crate::settings::LinkSettings,
    sources: &Sources,
) -> Result<(), Failure> {
    let link = Link::open(settings).await?;
    let user = find(&link, &args.user, &args.who, sources).await?;
    let request = TapUserRequest { user_id: user.to_string(), bodies: args.bodies };
    let answer = link.admin().tap_user(request).await;
    let mut responses = answer.map_err(|status| refused(&status, WHAT, sources))?.into_inner();
    let mut has_begun = false;
    loop {
        let response = responses.message().await;
        let response = response.map_err(|status| refused(&status, WHAT, sources))?;
        let Some(response) = response else {
            return Err(Failure::System {
                what: WHAT,
                source: io::Error::other("the core ended it"),
            });
        };
        if !has_begun {
            has_begun = true;
            let _ = writeln!(io::stderr(), "listening to {user}, at {}", response.last_seq);
        }
        if !tell(&response, args.who.json).await? {
            return Ok(());
        }
    }
}

/// Gives whether somebody still reads.
async fn tell(response: &SubscribeResponse, as_json: bool) -> Result<bool, Failure> {
    let mut lines = String::new();
    for event in &response.events {
        let value = of_event(event);
        lines += &if as_json { value.to_string() } else { in_words(event, &value) };
        lines.push('\n');
    }
    let written = spawn_blocking(move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush())
    });
    match written.await.map_err(io::Error::other).flatten() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Failure::System { what: "writing to stdout", source }),
    }
}

fn of_event(event: &Event) -> Value {
    let (kind, what) = match &event.change {
        Some(Change::Message(message)) => ("message", of_message(message)),
        Some(Change::Thread(state)) => ("thread", of_state(state)),
        Some(Change::Typing(_) | Change::Presence(_) | Change::User(_)) | None => {
            ("unknown", Value::Null)
        }
    };
    json!({ "seq": event.seq, "first_seq": event.first_seq, "event": kind, kind: what })
}

fn in_words(event: &Event, value: &Value) -> String {
    match &event.change {
        Some(Change::Message(message)) => {
            let is_new = event.first_seq == 0 || event.first_seq == event.seq;
            let what = match (message.deleted, is_new) {
                (true, _) => "deleted",
                (false, true) => "new",
                (false, false) => "changed",
            };
            format!("{} message {what} {}", event.seq, value["message"])
        }
        Some(Change::Thread(_)) => format!("{} thread {}", event.seq, value["thread"]),
        Some(Change::Typing(_) | Change::Presence(_) | Change::User(_)) | None => {
            format!("{} of a kind that this program does not know", event.seq)
        }
    }
}
