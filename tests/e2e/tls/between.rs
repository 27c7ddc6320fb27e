//! Edge and core that do not trust each other: it is told, and `/readyz` says so.

use std::path::Path;

use netrox_harness::{
    Arrangement, Edge, Role, TestChat,
    certificate::{Authority, Certificate},
    each, eventually,
    process::{self, Process, Signal},
    settings::SERVICE_TOKEN,
};

use super::{Secured, put};

each![; split: who_does_not_trust_whom_is_told];

/// An edge beside those of a deployment.
async fn lone_edge(
    chat: &TestChat,
    authority: &Path,
    own: Option<&Certificate>,
) -> (Process, Edge) {
    let mut command = process::command(chat.directory());
    command.args(["edge", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"]);
    command.args(["--log-format=json", &format!("--core=https://{}", chat.grpc_address())]);
    command.arg("--core-ca-file").arg(authority);
    if let Some(own) = own {
        command.arg("--core-client-cert-file").arg(&own.certificate);
        command.arg("--core-client-key-file").arg(&own.key);
    }
    command.env("NETROX_CHAT_SERVICE_TOKEN", SERVICE_TOKEN);
    command.env("NETROX_CHAT_JWT_SECRET", netrox_harness::settings::JWT_SECRET);
    let process = Process::spawn(command);
    let address = process.log().address("admin.addr").await;
    (process, Edge { address })
}

async fn says(edge: Edge, word: &str) {
    eventually(word, async || {
        let answer = edge.get("/readyz").send().await;
        (answer.text().trim_end() == word).then_some(())
    })
    .await;
}

async fn who_does_not_trust_whom_is_told(arrangement: Arrangement) {
    let secured = Secured::new(arrangement);
    let mut chat = secured.builder.start().await;
    let (authority, other) = (secured.authority, Authority::new());
    let address = chat.grpc_address().ip();
    let good = authority.issue("good", address);
    let strange = other.issue("strange", address);
    let core = chat.log(Role::Core(0));
    for (trusted, own, of_core) in [
        (&other, Some(&good), "the client refused"),
        (&authority, None, "the client showed no certificate"),
        (&authority, Some(&strange), "the client's certificate is not one of the authority"),
    ] {
        let (process, admin) = lone_edge(&chat, &trusted.certificate(), own).await;
        says(admin, "untrusted").await;
        eventually("a warning", async || {
            process.log().contains("do not trust each other (TLS)").then_some(())
        })
        .await;
        eventually("a warning", async || core.contains(of_core).then_some(())).await;
    }

    // An edge that is given another certificate is let in without a restart.
    let (process, admin) = lone_edge(&chat, &authority.certificate(), Some(&strange)).await;
    says(admin, "untrusted").await;
    put(&good.certificate, &strange.certificate);
    put(&good.key, &strange.key);
    process.signal(Signal::HUP);
    says(admin, "ready").await;

    // A certificate of the right authority for another name.
    let elsewhere = authority.issue_for("elsewhere", "DNS:elsewhere.example.org");
    put(&elsewhere.certificate, &secured.core.certificate);
    put(&elsewhere.key, &secured.core.key);
    chat.process(Role::Core(0)).signal(Signal::HUP);
    eventually("a reading", async || {
        core.contains("the certificates of the gRPC door were read again").then_some(())
    })
    .await;
    let (process, admin) = lone_edge(&chat, &authority.certificate(), Some(&good)).await;
    says(admin, "untrusted").await;
    eventually("a cause", async || process.log().contains("not valid for name").then_some(()))
        .await;
}
