//! The netrox-chat program: one executable, whose roles are its subcommands.
//!
//! * [`cli`]: the flags and variables of each role; [`sources`]: how an error names them.
//! * [`settings`]: from flags to what the parts are built from; [`secret`]: given or generated.
//! * [`program`]: the life of a serving role; [`service`]: its parts, and how they drain; [`memory`]: what they give back;
//!   [`start_line`]: what it says; [`admin`]: metrics and health; [`traces`]: the way of spans to a collector.
//! * [`token`]: access tokens for trying it out; [`service_token`]: tokens of services; [`migrate`]: from SQLite to PostgreSQL;
//!   [`user`], [`tap`]: what is done about one user, by way of a core, which [`link`] reaches;
//!   [`transfer`]: a whole chat as JSON lines, and the way back;
//!   [`shadow`]: two servers, held against each other;
//!   [`epoch`]: a new history of the database; [`backup`]: copies of SQLite and its files, and the way back.
//! * [`pages`]: what shells complete, and the pages for `man`, out of the flags.
//! * [`check`]: whether a start would refuse a setting; [`doctor`]: what is wrong with what a role works on.

#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else"))]
#![warn(clippy::print_stderr)]

mod admin;
mod backup;
mod check;
mod cli;
mod doctor;
mod epoch;
mod failure;
mod file_mode;
mod link;
mod listener;
mod memory;
mod migrate;
mod open_files;
mod pages;
mod process;
mod program;
mod secret;
mod service;
mod service_token;
mod settings;
mod shadow;
mod signals;
mod sources;
mod start_line;
mod tap;
mod telemetry;
mod token;
mod traces;
mod transfer;
mod user;
mod welcome;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{
    cli::{Refusal, Role},
    doctor::Form,
    failure::Failure,
    secret::Purpose,
};

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", failure.line());
            failure.exit_code()
        }
    }
}

fn start() -> Result<ExitCode, Failure> {
    file_mode::keep_others_out();
    let arguments: Vec<_> = std::env::args_os().collect();
    let form = cli::is_doctor(&arguments).then(|| Form::of(cli::asks_for_json(&arguments)));
    let (role, sources) = match cli::parse(arguments) {
        Ok(parsed) => parsed,
        Err(Refusal::Answer(text)) => {
            let _ = text.print();
            return Ok(ExitCode::SUCCESS);
        }
        Err(Refusal::Setting(error)) => {
            return match form {
                Some(form) => doctor::refused(form, &error),
                None => Err(error.into()),
            };
        }
    };
    let settings = match role {
        Role::Serve(args) => settings::serve(*args, sources, Purpose::Start)?,
        Role::Core(args) => settings::core(*args, sources, Purpose::Start)?,
        Role::Edge(args) => settings::edge(*args, sources)?,
        Role::Migrate(args) => return migrate::run(&args, &sources).map(|()| ExitCode::SUCCESS),
        Role::Epoch(args) => return epoch::run(&args, &sources).map(|()| ExitCode::SUCCESS),
        Role::Backup(args) => return backup::run(*args, &sources).map(|()| ExitCode::SUCCESS),
        Role::Restore(args) => {
            return backup::restore(*args, &sources).map(|()| ExitCode::SUCCESS);
        }
        Role::Export(args) => {
            return transfer::export(*args, &sources).map(|()| ExitCode::SUCCESS);
        }
        Role::Import(args) => return transfer::import(*args, &sources),
        Role::Shadow(args) => return shadow::run(&args, &sources),
        Role::User(args) => return user::run(&args, &sources).map(|()| ExitCode::SUCCESS),
        Role::Tap(args) => return tap::run(&args, &sources).map(|()| ExitCode::SUCCESS),
        Role::Check(args) => return check::run(args, sources).map(|()| ExitCode::SUCCESS),
        Role::Doctor(args) => return doctor::run(args, sources),
        Role::Completions(args) => {
            return pages::completions(args.shell).map(|()| ExitCode::SUCCESS);
        }
        Role::Man(args) => return pages::man(&args.directory).map(|()| ExitCode::SUCCESS),
        Role::Token(args) => return token::run(&args, &sources),
        Role::ServiceToken(args) => {
            return service_token::run(&args).map(|()| ExitCode::SUCCESS);
        }
    };
    Ok(program::run(settings))
}
