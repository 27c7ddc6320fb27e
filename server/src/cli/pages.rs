//! What shells and `man` are told of the program.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Whose completions: source them, or put them where the shell looks for them
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where they are to be, such as /usr/local/share/man/man1; it has to be there. Pages of before are replaced
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
}
