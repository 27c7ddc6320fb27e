//! Foreign clients: one (`tests/python/client.py`) that knows the contract from reflection alone, and the program that
//! `docs/CALLING.md` shows.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use netrox_harness::{settings::SERVICE_TOKEN, within};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    time::timeout,
};

use crate::running::Core;

/// A Python interpreter that has what `requirements.txt` lists.
const INTERPRETER: &str = "NETROX_CHAT_TEST_PYTHON";
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CALLING.md");
const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
const TARGET: &str = env!("CARGO_TARGET_TMPDIR");

/// The interpreter that is given, or one of a virtual environment made here, once for all tests.
fn interpreter() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(find_interpreter)
}

fn find_interpreter() -> PathBuf {
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

/// The program of the page, as it stands there.
fn page_program() -> String {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let (_, program) = page.split_once("\n`caller.py`:\n\n").expect("the program in Python");
    let lines = program.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(|line| format!("{}\n", line.get(4..).unwrap_or_default())).collect()
}

async fn printed<R: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, wanted: &str) {
    within("a line of the program", async {
        loop {
            let line = lines.next_line().await.expect("a line");
            let line = line.unwrap_or_else(|| panic!("the program ended before {wanted:?}"));
            if line.contains(wanted) {
                return;
            }
        }
    })
    .await;
}

/// The program with what its protos become, in a directory of its own.
fn prepare_page_program() -> (&'static Path, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let python = interpreter();
    let protos = Path::new(PROTOS).join("netrox/chat/v1");
    let protos = std::fs::read_dir(protos).expect("the protos");
    let output = |kind: &str| format!("--{kind}_out={}", directory.path().display());
    let generated = Command::new(python)
        .args(["-m", "grpc_tools.protoc", "-I", PROTOS])
        .args([output("python"), output("grpc_python")])
        .args(protos.map(|entry| entry.expect("a file").path()))
        .output();
    done("grpc_tools.protoc", generated);
    std::fs::write(directory.path().join("caller.py"), page_program()).expect("written");
    (python, directory)
}

#[tokio::test]
async fn the_program_of_the_page_goes_on_after_a_restart() {
    const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
    const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

    let mut core = Core::start().await;
    let prepared = tokio::task::spawn_blocking(prepare_page_program);
    let (python, directory) = prepared.await.expect("prepared");
    let mut program = tokio::process::Command::new(python)
        .arg("caller.py")
        .args([core.address(), SERVICE_TOKEN.to_owned()])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python runs");
    let output = program.stdout.take().expect("what it prints");
    let mut lines = BufReader::new(output).lines();
    printed(&mut lines, "sent message").await;
    // Its subscription begins beside that, and shows what comes from then on.
    within("the subscription of the program", async {
        let mut heard = pin!(printed(&mut lines, "are you there"));
        loop {
            core.send(ALICE, BOB, "are you there").await.expect("stored");
            if timeout(Duration::from_millis(500), &mut heard).await.is_ok() {
                return;
            }
        }
    })
    .await;
    core.kill_and_restart().await;
    core.send(ALICE, BOB, "after the restart").await.expect("stored");
    printed(&mut lines, "after the restart").await;
    program.kill().await.expect("killed");
}
