//! `netrox-chat shadow`: what two servers say to the same users, held against each other. The report goes to stdout, what the user
//! should know meanwhile to stderr. Nothing is written to either server.
//!
//! * [`users`]: whose conversations; [`walk`]: the way through those of one user.
//! * [`server`], [`turns`]: how a server is asked, and how fast.
//! * [`document`], [`element`]: an answer, taken apart as it is read; [`compare`]: two JSON texts.
//! * [`threads`], [`history`]: which thread or message of one is held against which of the other; [`attached`]: files to come.
//! * [`rule`]: differences that are known; [`ledger`]: all that were found; [`report`]: how they are told.

mod attached;
mod compare;
mod document;
mod element;
mod history;
mod ledger;
mod report;
mod rule;
mod server;
mod threads;
mod turns;
mod users;
mod walk;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use http::HeaderValue;
use tokio::{
    select,
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::rule::Rule;
use self::{
    ledger::Ledger,
    report::{Report, Verdict},
    rule::Known,
    server::{Server, Side},
    users::{Named, Users},
    walk::Walks,
};
use crate::{
    cli::{JwtClaimArgs, ShadowArgs},
    failure::Failure,
    secret::{Secret, Warnings},
    settings::Keys,
    signals::interrupted,
    sources::Sources,
    token::{Subject, mint},
};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// A user may have conversations for hours.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);
/// Users who were read from the file and whose turn comes.
const USERS_AHEAD: usize = 16;

/// Exit status 1 if the two differ, and 3 if not all was compared.
pub(crate) fn run(args: &ShadowArgs, sources: &Sources) -> Result<ExitCode, Failure> {
    let mut warnings = Warnings::of_environment();
    let mut keys = Keys::new(sources, None, &mut warnings);
    args.jwt_claims.check(sources)?;
    let user_ids = keys.user_ids(&args.jwt_claims)?;
    keys.check_namespace_of(&user_ids)?;
    let users = Users::check(&args.users, user_ids.clone(), args.sample)
        .map_err(|reason| sources.refuse("users", reason))?;
    let secret = match users.needs_secret {
        true => Some(keys.given_jwt_secret(&args.jwt_secret)?),
        false => None,
    };
    let mut rules = args.allow.clone();
    for file in &args.allow_file {
        let read = rule::read(file).map_err(|reason| sources.refuse("allow-file", reason))?;
        rules.extend(read);
    }
    let server = |side, flag, base: &reqwest::Url| {
        let server = Server::new(side, base.clone(), args.rate, args.timeout);
        server.map_err(|reason| sources.refuse(flag, reason))
    };
    let original = server(Side::Original, "original", &args.original)?;
    let candidate = server(Side::Candidate, "candidate", &args.candidate)?;
    for warning in warnings {
        say(format_args!("warning: {warning}"));
    }

    let known = Known { rules, user_ids: user_ids.clone() };
    let ledger = Arc::new(Ledger::new(known, args.show, args.texts));
    let stop = CancellationToken::new();
    let walks = Walks { original, candidate, user_ids, ledger: ledger.clone(), stop };
    let tokens = Tokens { secret, claims: args.jwt_claims.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| unfinished("starting the runtime", source))?;
    let chosen = users.sample;
    let stopped = runtime.block_on(compare_all(users, tokens, walks, args.concurrency));
    // What compares has been told to end, and holds the ledger until it has.
    drop(runtime);
    let ledger = Arc::into_inner(ledger)
        .ok_or_else(|| unfinished("ending the comparison", io::Error::other("it goes on")))?;
    let report = ledger.end(chosen, stopped);
    print(&report, args.json)?;
    Ok(match report.verdict() {
        Verdict::Equal => ExitCode::SUCCESS,
        Verdict::Different => ExitCode::from(1),
        Verdict::Unfinished => ExitCode::from(3),
    })
}

struct Tokens {
    secret: Option<Secret>,
    claims: JwtClaimArgs,
}

impl Tokens {
    fn of(&self, user: &Named) -> Result<HeaderValue, String> {
        if let Some(token) = &user.token {
            return Ok(token.clone());
        }
        let secret = self.secret.as_ref().ok_or("there is no secret")?;
        let subject = Subject { user_id: &user.id, email: None, profile: None, ttl: TOKEN_TTL };
        let token = mint(subject, &self.claims, secret.reveal().as_bytes());
        let token = token.map_err(|failure| failure.to_string())?;
        let header = HeaderValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|_| "a token was made that is none")?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Gives why it ended before its end, if it did.
async fn compare_all(
    users: Users,
    tokens: Tokens,
    walks: Walks,
    concurrency: usize,
) -> Option<String> {
    let (stop, ledger, chosen) = (walks.stop.clone(), walks.ledger.clone(), users.sample);
    let walks = Arc::new(walks);
    let mut named = read(users);
    let mut tasks = JoinSet::new();
    let mut interrupted = std::pin::pin!(interrupted());
    let mut progress = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut has_more, mut begun) = (true, 0);
    let stopped = loop {
        if !has_more && tasks.is_empty() {
            // It was gone through before: what is no file, or another by now, is not read twice.
            let is_same = begun == chosen;
            break (!is_same).then(|| "the file of users is not the same any more".to_owned());
        }
        select! {
            () = &mut interrupted => break Some("interrupted".to_owned()),
            _ = progress.tick() => say(format_args!("{}", ledger.progress())),
            user = named.recv(), if has_more && tasks.len() < concurrency => {
                let next = match user {
                    None => {
                        has_more = false;
                        continue;
                    }
                    Some(Err(error)) => Err(format!("the file of users: {error}")),
                    Some(Ok(user)) => tokens.of(&user).map(|token| (user, token)),
                };
                match next {
                    Ok((user, token)) => {
                        begun += 1;
                        let walks = walks.clone();
                        tasks.spawn(async move { walks.user(user, token).await });
                    }
                    Err(reason) => break Some(reason),
                }
            }
            Some(walked) = tasks.join_next() => match walked {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => break Some(reason),
                Err(error) => break Some(error.to_string()),
            },
        }
    };
    stop.cancel();
    tasks.shutdown().await;
    stopped
}

/// The file is read beside the runtime.
fn read(users: Users) -> mpsc::Receiver<io::Result<Named>> {
    let (sender, receiver) = mpsc::channel(USERS_AHEAD);
    spawn_blocking(move || {
        let chosen = match users.chosen() {
            Ok(chosen) => chosen,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        for user in chosen {
            let is_last = user.is_err();
            if sender.blocking_send(user).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

fn print(report: &Report, as_json: bool) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written =
        if as_json { writeln!(stdout, "{}", report.to_json()) } else { write!(stdout, "{report}") };
    written.map_err(|source| unfinished("writing to stdout", source))
}

/// Status 1 is said of differences.
fn unfinished(what: &'static str, source: io::Error) -> Failure {
    Failure::Unfinished { what, source }
}

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
