//! A foreign client (`tests/python/client.py`) that knows the contract from reflection alone.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use netrox_harness::settings::SERVICE_TOKEN;

use crate::running::Core;

/// A Python interpreter that has what `requirements.txt` lists.
const INTERPRETER: &str = "NETROX_CHAT_TEST_PYTHON";
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python");
const TARGET: &str = env!("CARGO_TARGET_TMPDIR");

/// The interpreter that is given, or one of a virtual environment made here.
fn interpreter() -> PathBuf {
    if let Some(path) = std::env::var_os(INTERPRETER) {
        return path.into();
    }
    let environment = Path::new(TARGET).join("python");
    let python = environment.join("bin/python");
    let requirements = Path::new(DIRECTORY).join("requirements.txt");
    let installed = environment.join("installed.txt");
    let wanted = std::fs::read(&requirements).expect("the requirements");
    if std::fs::read(&installed).ok().as_ref() != Some(&wanted) {
        let venv =
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
        done("python3 -m venv", venv);
        let pip = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements)
            .output();
        done("pip install -r tests/python/requirements.txt", pip);
        std::fs::write(&installed, wanted).expect("note what is installed");
    }
    python
}

fn done(what: &str, output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|error| {
        panic!("{what}: {error}; set {INTERPRETER} to a Python 3.10 or later that has grpcio")
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what} failed; or set {INTERPRETER}\n{out}{err}");
    out
}

#[tokio::test]
async fn a_client_without_generated_code_chats() {
    let core = Core::start().await;
    let address = core.address();
    let client = tokio::task::spawn_blocking(move || {
        let output = Command::new(interpreter())
            .arg(Path::new(DIRECTORY).join("client.py"))
            .arg(address)
            .env("NETROX_CHAT_SERVICE_TOKEN", SERVICE_TOKEN)
            .output();
        done("client.py", output)
    });
    let printed = client.await.expect("the client");
    assert_eq!(printed.lines().last(), Some("ok"), "{printed}");
    for service in crate::released::service_names() {
        assert!(printed.contains(&service), "{service} is not in {printed}");
    }
}
