//! Names of settings, as the operator wrote them: a flag or its environment variable.

use std::{collections::BTreeSet, ffi::OsString};

/// A setting that cannot be used. It ends the program with exit status 2, and its text is one line.
#[derive(Debug, thiserror::Error)]
#[error("{}", one_line(&format!("{setting}: {reason}")))]
pub(crate) struct SettingError {
    setting: String,
    reason: String,
}

impl SettingError {
    pub(crate) fn new(setting: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { setting: setting.into(), reason: reason.to_string() }
    }
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The environment variable of a flag, without its dashes (PROTOCOL section 6).
pub(crate) fn variable(flag: &str) -> String {
    format!("NETROX_CHAT_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// Whether the variable of a flag says anything: an empty one counts as unset.
pub(crate) fn has_variable(flag: &str) -> bool {
    std::env::var_os(variable(flag)).is_some_and(|value| !value.is_empty())
}

/// Which flags are on the command line, so that an error can tell them from variables.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    flags: BTreeSet<String>,
}

impl Sources {
    pub(crate) fn new(arguments: &[OsString]) -> Self {
        let flags = arguments.iter().filter_map(|argument| {
            let argument = argument.to_string_lossy();
            let flag = argument.strip_prefix("--")?;
            Some(flag.split_once('=').map_or(flag, |(flag, _)| flag).to_owned())
        });
        Self { flags: flags.collect() }
    }

    pub(crate) fn is_flag(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// Whether the setting has another value than its default.
    pub(crate) fn is_given(&self, flag: &str) -> bool {
        self.is_flag(flag) || has_variable(flag)
    }

    /// What the operator wrote: the command line counts before the environment.
    pub(crate) fn name(&self, flag: &str) -> String {
        if !self.is_flag(flag) && self.is_given(flag) {
            variable(flag)
        } else {
            format!("--{flag}")
        }
    }

    pub(crate) fn refuse(&self, flag: &str, reason: impl std::fmt::Display) -> SettingError {
        SettingError::new(self.name(flag), reason)
    }

    /// Two settings of which only one may be given.
    pub(crate) fn conflict(&self, flag: &str, other: &str) -> SettingError {
        self.refuse(flag, format!("cannot be used together with {}", self.name(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_with_its_value_apart_or_attached() {
        let sources =
            Sources::new(&["core", "--grpc-addr=x", "--data-dir", "y"].map(OsString::from));
        assert!(sources.is_flag("grpc-addr") && sources.is_flag("data-dir"));
        assert!(!sources.is_flag("core"));
        assert_eq!(sources.name("grpc-addr"), "--grpc-addr");
    }

    #[test]
    fn an_error_is_one_line() {
        let error = SettingError::new("--core", "bad\r\n  caused by\tthis\n");
        assert_eq!(error.to_string(), "--core: bad caused by this");
    }
}
