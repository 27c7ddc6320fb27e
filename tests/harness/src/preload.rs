//! Libraries that stand before the C library of a program that loads it when it is started. They need a C compiler, as the
//! program does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What a program is told of it by.
pub(crate) const VARIABLE: &str = "LD_PRELOAD";

/// Makes one in a directory, and says where it is.
pub(crate) fn compile(name: &str, source: &str, directory: &Path) -> PathBuf {
    let (written, library) =
        (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
    std::fs::write(&written, source).expect("write the library");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(written);
    let compiled = command.output().expect("a C compiler");
    assert!(compiled.status.success(), "{compiled:?}");
    library
}
