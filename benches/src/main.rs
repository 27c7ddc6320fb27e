//! `netrox-bench`: a load generator that knows only the documented protocol, the yardsticks of the
//! machine it runs on, and the table of both.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod all;
mod cli;
mod client;
mod latency;
mod ledger;
mod load;
mod progress;
mod report;
mod rest;
mod second;
mod server;
mod startup;
mod table;
mod yardstick;

use std::{error::Error, path::Path, process::ExitCode};

use clap::Parser as _;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{Cli, Command, seconds},
    ledger::Checked as _,
    load::{
        closed::{self, Closed},
        idle,
        open::{self, Open},
        party::{Party, Reading},
        scrape, storm,
    },
    rest::{history, threads, upload},
    second::{
        feed, lists, presence, star,
        typing::{self, Typing},
    },
    server::{keys::Tokens, postgres::TemporaryDatabase},
    yardstick::{relay, store},
};

/// What goes wrong ends the run, and is told as it is.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("netrox-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    // The server is to have the rest of the machine.
    let runtime = |mut builder: Builder| -> Result<Runtime> { Ok(builder.enable_all().build()?) };
    if let Command::Relay = command {
        runtime(Builder::new_multi_thread())?.block_on(relay::serve())?;
        return Ok(ExitCode::SUCCESS);
    }
    runtime(Builder::new_current_thread())?.block_on(measure(command))
}

/// Opens the server, measures, prints and closes. Fails where a message was lost, came twice or out of order.
macro_rules! measured {
    ($args:ident, $target:ident => $measure:expr) => {{
        let opened = $args.target.open().await?;
        let $target = &opened.target;
        let outcome = $measure;
        opened.close().await?;
        let outcome = outcome?;
        print(&outcome)?;
        Ok(exit_code(outcome.wrong()))
    }};
}

async fn measure(command: Command) -> Result<ExitCode> {
    match command {
        Command::All(args) => all(args).await,
        Command::Closed(args) => {
            let load = Closed {
                receivers: args.receivers,
                senders_each: args.senders,
                in_flight: args.in_flight,
                body_bytes: args.body_bytes,
                reading: if args.marks { Reading::Marking } else { Reading::Documented },
                duration: seconds(args.seconds),
            };
            measured!(args, target => closed::run(target, load).await)
        }
        Command::Open(args) => {
            let load = Open {
                pairs: args.pairs,
                rate: args.rate,
                body_bytes: args.body_bytes,
                duration: seconds(args.seconds),
            };
            measured!(args, target => open::run(target, load).await)
        }
        Command::History(args) => measured!(args, target => async {
            let party = Party::new(target, 1)?;
            let (reader, peer) = (party.receiver.clone(), party.senders[0].id);
            let sent = closed::send(target, party, args.in_flight, args.messages).await?;
            let messages = args.messages as usize;
            let history = history::run(target, &reader, peer, messages, args.reads).await?;
            Result::Ok(history::Written { sent, history })
        }.await),
        Command::Idle(args) => measured!(args, target => idle::run(target, args.count).await),
        Command::Scrape(args) => measured!(args, target => scrape::run(target, args.count).await),
        Command::Storm(args) => measured!(args, target => storm::run(target, args.count).await),
        Command::Threads(args) => measured!(args, target => threads::run(target, args.count).await),
        Command::Feed(args) => measured!(args, target => feed::run(target, args.messages).await),
        Command::Lists(args) => measured!(args, target => lists::run(target, args.count).await),
        Command::Typing(args) => {
            let load = Typing {
                pairs: args.pairs as usize,
                rate: args.rate,
                duration: seconds(args.seconds),
            };
            measured!(args, target => typing::run(target, load).await)
        }
        Command::Presence(args) => {
            measured!(args, target => presence::run(target, args.count).await)
        }
        Command::Star(args) => measured!(args, target => star::run(target, args.count).await),
        Command::Upload(args) => measured!(args, target => upload::run(target, args.bytes).await),
        Command::Yardsticks(args) => {
            print(&store::sqlite(&args.start.directory()?).await?)?;
            if let Some(url) = &args.start.postgres_url {
                let database = TemporaryDatabase::create(url).await?;
                let store = store::postgres(&database.url).await;
                database.remove().await?;
                print(&store?)?;
            }
            print(&relay::measure().await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Relay => unreachable!("it has a runtime of its own"),
    }
}

/// Fails where a message was lost, came twice or out of order; a figure that misses its target is a
/// figure. Held against another build, it fails where this one is worse.
async fn all(args: cli::All) -> Result<ExitCode> {
    let launcher = args.start.launcher()?;
    let mut other = args.against.map(|program| launcher.of(&program)).transpose()?;
    if let Some(other) = other.as_mut().filter(|_| args.against_plain) {
        (other.tls, other.tokens) = (false, Tokens::Hs256);
    }
    let plan = all::Plan {
        launcher,
        postgres_url: args.start.postgres_url,
        rows: args.rows,
        duration: seconds(args.seconds),
        only: args.only,
    };
    if let Some(other) = other {
        let comparison = all::against::run(&plan, other, args.turns).await?;
        println!("{comparison}");
        write(&comparison, args.json.as_deref())?;
        return Ok(if comparison.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let report = all::run(plan).await?;
    println!("{}", report.table());
    println!("messages lost, duplicated or out of order: {}", report.wrong);
    write(&report, args.json.as_deref())?;
    Ok(exit_code(report.wrong))
}

fn write(report: &impl Serialize, path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| report::write(report, path))
}

fn exit_code(wrong: u64) -> ExitCode {
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(outcome: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(outcome)?);
    Ok(())
}
