//! What `deploy/` holds, as far as that can be told without Docker and without a booted systemd: it parses, names
//! nothing that is not there, and tells the program nothing that it does not know.

mod compose;
mod debian;
mod image;
mod kubernetes;
mod script;
mod unit;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use netrox_harness::process;

const NO_VARIABLES: [(&str, &str); 0] = [];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a directory that end like this.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join(directory)).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let found: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    assert!(!found.is_empty(), "no {ending} in {directory}");
    found
}

/// What a command prints that has to succeed.
fn output_of(command: &mut Command) -> String {
    let output: Output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("a text")
}

/// A command line of the program, which has to be one of a role. Gives the help of the role.
async fn help_for(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    // What comes before it is parsed first.
    let arguments = arguments.iter().copied().chain(["--help"]);
    let ended = process::run(directory.path(), arguments, NO_VARIABLES).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended.stdout
}

/// Every variable of the program in a text has to be one of the role with this help.
fn assert_knows_variables(help: &str, text: &str) {
    for name in variables(text) {
        assert!(help.contains(&format!("[env: {name}]")), "{name} is not a variable of the role");
    }
}

fn variables(text: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("NETROX_CHAT_")).collect()
}

/// The lines of a script or a Dockerfile, without comments, continued ones as one.
fn commands(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\\\n", " ").replace("\\\n", " ");
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
