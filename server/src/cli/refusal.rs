//! One line for each way in which a command line or an environment can be wrong. Never a value that
//! may be a secret.

use std::{error::Error, ffi::OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Refusal, command, doctor::place_of_role, variables::nearest};
use crate::sources::{SettingError, Sources};

/// Flags whose values are, or may hold, a credential.
const SECRET_VALUES: [&str; 10] = [
    "candidate",
    "core",
    "bus-url",
    "database-url",
    "jwks-url",
    "jwt-secret",
    "media-url",
    "original",
    "otlp-endpoint",
    "service-token",
];

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of clap")]
pub(super) fn classify(error: clap::Error, arguments: &[OsString], sources: &Sources) -> Refusal {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Answer(error),
        _ => Refusal::Setting(explain(&error, arguments, sources)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of clap")]
fn explain(error: &clap::Error, arguments: &[OsString], sources: &Sources) -> SettingError {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let flag = flag_of(argument);
    let refuse = |reason: &str| match flag {
        Some(flag) => sources.refuse(flag, reason),
        None => SettingError::new("command line", reason),
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let role = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            SettingError::new(role, not_a_role(role, arguments))
        }
        ErrorKind::UnknownArgument => unknown(argument, error, arguments),
        ErrorKind::InvalidUtf8 => not_unicode(arguments),
        ErrorKind::ArgumentConflict => refuse("given more than once"),
        ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(missing)) => {
                let name = |missing: &String| match flag_of(missing) {
                    Some(flag) => sources.name(flag),
                    // By its place.
                    None => missing.trim_matches(['<', '>']).to_owned(),
                };
                let missing: Vec<_> = missing.iter().map(name).collect();
                SettingError::new(missing.join(", "), "must be given")
            }
            _ => refuse("must be given"),
        },
        ErrorKind::ValueValidation => {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            refuse(&with_value(error, flag, &reason))
        }
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(values)) if !values.is_empty() => {
                let reason = format!("not one of {}", values.join(", "));
                refuse(&with_value(error, flag, &reason))
            }
            _ => refuse("has no value"),
        },
        _ => refuse(error.kind().as_str().unwrap_or("not understood")),
    }
}

/// The roles there are, and the one that may be meant.
fn not_a_role(text: &str, arguments: &[OsString]) -> String {
    let mut command = command();
    let before = arguments.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    // Behind `check` and `doctor` there are those that serve.
    if let Some(outer) = command.find_subcommand(before).filter(|_| before != text) {
        command = outer.clone();
    }
    let roles: Vec<_> = command.get_subcommands().map(|role| role.get_name().to_owned()).collect();
    let meant = nearest(text, &roles).map(|role| format!("did you mean {role}? "));
    let (last, others) = roles.split_last().map_or(("", &[][..]), |(last, others)| (last, others));
    format!("not a role; {}there are {} and {last}", meant.unwrap_or_default(), others.join(", "))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// `http-addr` of `--http-addr <IP:PORT>`.
fn flag_of(argument: &str) -> Option<&str> {
    argument.strip_prefix("--")?.split([' ', '=', '[', '<']).next()
}

fn with_value(error: &clap::Error, flag: Option<&str>, reason: &str) -> String {
    match text(error, ContextKind::InvalidValue) {
        Some(value) if !flag.is_some_and(|flag| SECRET_VALUES.contains(&flag)) => {
            format!("{value:?}: {reason}")
        }
        _ => reason.to_owned(),
    }
}

fn unknown(argument: &str, error: &clap::Error, arguments: &[OsString]) -> SettingError {
    let role = arguments.get(place_of_role(arguments)).and_then(|role| role.to_str());
    let role = role.unwrap_or_default();
    let Some(flag) = flag_of(argument) else {
        return one_too_many(argument, arguments);
    };
    let flag = format!("--{flag}");
    let command = command();
    let others = command.get_subcommands().filter(|other| {
        other.get_arguments().any(|argument| argument.get_long() == Some(&flag[2..]))
    });
    let others: Vec<_> = others.map(|other| format!("`{}`", other.get_name())).collect();
    if !others.is_empty() {
        return SettingError::new(
            flag,
            format!("not a flag of `{role}`, but of {}", others.join(", ")),
        );
    }
    match text(error, ContextKind::SuggestedArg).and_then(flag_of) {
        Some(similar) => {
            SettingError::new(flag, format!("unknown flag; did you mean --{similar}?"))
        }
        None => SettingError::new(flag, format!("unknown flag; see netrox-chat {role} --help")),
    }
}

/// An argument that is no flag. It isn't shown: it may be the second half of a secret.
fn one_too_many(argument: &str, arguments: &[OsString]) -> SettingError {
    let is_it = |candidate: &OsString| {
        let candidate = candidate.to_string_lossy();
        // Of `-value` clap tells `-v`.
        let is_short = argument.starts_with('-') && !candidate.starts_with("--");
        candidate == argument || is_short && candidate.starts_with(argument)
    };
    let place = arguments.iter().position(is_it).unwrap_or_default();
    let before = arguments[..place].iter().rev().find_map(|before| flag_of(before.to_str()?));
    match before {
        // clap takes it for a flag.
        Some(flag) if argument.starts_with('-') => SettingError::new(
            format!("--{flag}"),
            format!("a value that begins with - is written --{flag}=VALUE"),
        ),
        Some(flag) => SettingError::new(
            format!("--{flag}"),
            "followed by an argument too many; a value with spaces needs quotes",
        ),
        None => SettingError::new("command line", "an argument that is no flag"),
    }
}

/// clap does not tell which one it was.
fn not_unicode(arguments: &[OsString]) -> SettingError {
    let reason = "not valid UTF-8";
    if let Some(index) = arguments.iter().position(|argument| argument.to_str().is_none()) {
        let before = arguments[..index].last().and_then(|before| before.to_str());
        let itself = arguments[index].to_string_lossy();
        let name = flag_of(&itself).or_else(|| before.and_then(flag_of));
        return match name {
            Some(flag) => SettingError::new(format!("--{flag}"), reason),
            None => SettingError::new(format!("argument {index}"), reason),
        };
    }
    let variable = std::env::vars_os().find_map(|(name, value)| {
        let name = name.into_string().ok()?;
        (name.starts_with("NETROX_CHAT_") && value.to_str().is_none()).then_some(name)
    });
    SettingError::new(variable.unwrap_or_else(|| "environment".to_owned()), reason)
}
