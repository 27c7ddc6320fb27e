//! A look at what a role is started with: the start command, behind a word.

use std::ffi::OsString;

use clap::{Args, Subcommand, builder::BoolishValueParser};

use super::{CoreArgs, EdgeArgs, ServeArgs};

const CHECK: &str = "check";
const DOCTOR: &str = "doctor";
const JSON: &str = "--json";

/// A role that serves, with its flags.
#[derive(Debug, Subcommand)]
pub(crate) enum Serving {
    /// Core and edge in one process; the default
    Serve(Box<ServeArgs>),
    /// The gRPC service alone
    Core(Box<CoreArgs>),
    /// The REST and WebSocket adapter alone
    Edge(Box<EdgeArgs>),
}

#[derive(Debug, Args)]
#[command(override_usage = "netrox-chat check [ROLE] [OPTIONS]", subcommand_help_heading = "Roles")]
#[command(disable_help_subcommand = true)]
pub(crate) struct CheckArgs {
    #[command(subcommand)]
    pub(crate) role: Serving,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "netrox-chat doctor [ROLE] [OPTIONS]",
    subcommand_help_heading = "Roles"
)]
#[command(disable_help_subcommand = true, next_help_heading = "Output")]
pub(crate) struct DoctorArgs {
    /// Print one line of JSON: what is wrong, what could not be looked at, and what was measured
    #[arg(long, global = true, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) role: Serving,
}

/// Where a command line names its role: behind what is to be done about it.
pub(super) fn place_of_role(arguments: &[OsString]) -> usize {
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    if ![Some(CHECK), Some(DOCTOR)].contains(&first) {
        return 1;
    }
    let others = arguments.iter().skip(2);
    2 + others.take_while(|argument| is_json(argument)).count()
}

/// Whether a command line that may not be understood as a whole is that of `doctor`: what is wrong with it is then a finding.
pub(crate) fn is_doctor(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|argument| argument == DOCTOR)
}

/// Whether it asks for JSON.
pub(crate) fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(is_json)
}

fn is_json(argument: &OsString) -> bool {
    argument.to_str().is_some_and(|argument| {
        argument == JSON || argument.strip_prefix(JSON).is_some_and(|rest| rest.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(arguments: &str) -> usize {
        place_of_role(&arguments.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_role_is_named_behind_what_is_to_be_done_about_it() {
        for (arguments, expected) in [
            ("netrox-chat", 1),
            ("netrox-chat core", 1),
            ("netrox-chat check", 2),
            ("netrox-chat check --data-dir x", 2),
            ("netrox-chat doctor core", 2),
            ("netrox-chat doctor --json core --data-dir x", 3),
            ("netrox-chat doctor --json=false", 3),
            ("netrox-chat doctor --jsons", 2),
        ] {
            assert_eq!(place(arguments), expected, "{arguments}");
        }
    }
}
