//! The release build of netrox-chat.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, progress::note};

/// The program to measure: the one given, or the one beside this, which is brought up to date first
/// where Cargo runs this.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("netrox-chat");
    let path = given.map_or(beside, Path::to_owned);
    if given.is_none()
        && let Some(cargo) = std::env::var_os("CARGO")
        && !cfg!(debug_assertions)
    {
        note("building netrox-chat");
        let build = ["build", "--quiet", "--release", "--package", "netrox-chat"];
        if !Command::new(cargo).args(build).status()?.success() {
            return Err("netrox-chat cannot be built".into());
        }
    }
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "there is no {}: run `cargo build --release -p netrox-chat` first, or name the program with \
         --program",
        path.display()
    )
    .into())
}
