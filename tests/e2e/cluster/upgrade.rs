//! A cluster that is brought to another version under load, node by node, with the program of the last release and with this one:
//! `tests/chaos --previous PROGRAM`.

use std::path::PathBuf;

use netrox_harness::{Role, TestChat, process::Signal};

use super::scene::{builder, recovered};
use crate::flow::{Flow, seed};

const CORES: usize = 2;
const EDGES: usize = 2;
const STEADY: usize = 300;

struct Upgrade {
    chat: TestChat,
    flow: Flow,
    previous: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Previous,
    Current,
}

impl Upgrade {
    /// Puts another program in the place of a process, which is told to end.
    async fn replace(&mut self, role: Role, version: Version) {
        let program = (version == Version::Previous).then(|| self.previous.clone());
        self.chat.use_program(program);
        let mark = self.flow.mark();
        let status = self.chat.terminate(role).await;
        assert_eq!(status.code(), Some(0), "{role:?}: {status}");
        self.chat.spawn(role).await;
        self.chat.ready().await;
        recovered(&mut self.flow, &mark, &format!("{role:?} of the {version:?} version")).await;
    }

    /// One after the other. Documented clients notice a close and nothing else; those of the second generation reconnect.
    async fn replace_all(&mut self, roles: Vec<Role>, version: Version) {
        for role in roles {
            self.replace(role, version).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the program of another version: tests/chaos --previous runs it"]
async fn upgrade() {
    let previous = std::env::var_os("NETROX_CHAT_CHAOS_PREVIOUS").expect("a program");
    let previous = PathBuf::from(previous);
    assert!(previous.is_file(), "{previous:?} is no program");
    let begun = builder().cores(CORES).edges(EDGES).program(Some(previous.clone()));
    let chat = begun.start().await;
    let has_second = chat.get("/v2/openapi.json").send().await.status == 200;
    let mut flow = if has_second {
        Flow::start(&chat, &chat.edges(), false, seed()).await
    } else {
        Flow::start_documented(&chat, &chat.edges(), seed()).await
    };
    flow.progress(STEADY).await;
    let (cores, edges) = (chat.core_roles(), chat.edge_roles());
    let mut upgrade = Upgrade { chat, flow, previous };
    eprintln!("cores first, then edges, as docs/UPGRADING.md has it");
    upgrade.replace_all(cores.clone(), Version::Current).await;
    upgrade.replace_all(edges.clone(), Version::Current).await;
    eprintln!("edges back, and forth again");
    upgrade.replace_all(edges.clone(), Version::Previous).await;
    upgrade.replace_all(edges, Version::Current).await;
    let Upgrade { mut chat, mut flow, previous } = upgrade;
    flow.verify_live(&chat).await;
    let refused = flow.refused("unavailable");
    let stored = flow.verify(&chat).await;
    eprintln!("{stored} messages stored, {refused} sends refused");
    assert_eq!(refused, 0, "a rolling upgrade refuses nobody");

    // A core does not go back over a change of the schema: it says so at once, and changes nothing.
    chat.use_program(Some(previous));
    let role = cores[0];
    chat.process(role).signal(Signal::TERM);
    assert_eq!(chat.ended(role).await.code(), Some(0));
    let ended = chat.try_spawn(role).await;
    chat.use_program(None);
    match ended {
        // The schema is the same.
        None => eprintln!("a core of the previous version runs on the schema of this one"),
        Some(status) => {
            assert_eq!(status.code(), Some(2), "{status}");
            assert!(
                chat.log(role).contains("is newer than this program"),
                "{:?}",
                chat.log(role).lines()
            );
            chat.spawn(role).await;
        }
    }
    chat.ready().await;
    let mut flow = Flow::start(&chat, &chat.edges(), false, seed()).await;
    flow.progress(STEADY).await;
    flow.verify_live(&chat).await;
    flow.verify(&chat).await;
}
