//! What a deployment is started with.

use std::{collections::BTreeMap, ffi::OsString, net::Ipv4Addr, path::Path, process::Command};

use crate::{
    chat::{Arrangement, Role, TestChat},
    process,
};

/// Long enough for HS512.
pub const JWT_SECRET: &str = "a-secret-of-the-tests-that-is-64-bytes-long-for-HS512-0123456789";
pub const SERVICE_TOKEN: &str = "a-service-token-of-the-tests-0123456789";

/// A deployment that is not started yet.
///
/// Settings are given as environment variables, because a role ignores those of flags that it does
/// not have (PROTOCOL section 6): one list serves both arrangements.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) arrangement: Arrangement,
    pub(crate) edges: usize,
    /// By flag, without its dashes.
    settings: BTreeMap<String, OsString>,
    variables: Vec<(Role, OsString, OsString)>,
    arguments: Vec<(Role, OsString)>,
    launchers: BTreeMap<Role, Vec<OsString>>,
}

impl Builder {
    pub(crate) fn new(arrangement: Arrangement) -> Self {
        let builder = Self {
            arrangement,
            edges: 1,
            settings: BTreeMap::new(),
            variables: Vec::new(),
            arguments: Vec::new(),
            launchers: BTreeMap::new(),
        };
        builder
            .set("log-format", "json")
            .set("jwt-secret", JWT_SECRET)
            .set("service-token", SERVICE_TOKEN)
    }

    /// Sets an option of every role that has it; `flag` without its dashes.
    pub fn set(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        self.settings.insert(flag.to_owned(), value.into());
        self
    }

    /// Leaves an option at its default.
    pub fn unset(mut self, flag: &str) -> Self {
        self.settings.remove(flag);
        self
    }

    /// Sets an environment variable of one role, as it stands.
    pub fn variable(
        mut self,
        role: Role,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Self {
        self.variables.push((role, name.into(), value.into()));
        self
    }

    /// Adds a command line argument of one role.
    pub fn argument(mut self, role: Role, argument: impl Into<OsString>) -> Self {
        self.arguments.push((role, argument.into()));
        self
    }

    /// Starts one role by another program, `prlimit --nofile=100` for example, which is to `exec` the
    /// command line that follows its own.
    pub fn launcher(mut self, role: Role, words: impl IntoIterator<Item: Into<OsString>>) -> Self {
        self.launchers.insert(role, words.into_iter().map(Into::into).collect());
        self
    }

    /// How many edges a split deployment has; one unless told.
    pub fn edges(mut self, edges: usize) -> Self {
        self.edges = edges;
        self
    }

    /// Starts the processes and waits until each is ready.
    pub async fn start(self) -> TestChat {
        TestChat::launch(self).await
    }

    pub(crate) fn get(&self, flag: &str) -> Option<&str> {
        self.settings.get(flag).and_then(|value| value.to_str())
    }

    /// The roles of the deployment, in the order in which they are started.
    pub(crate) fn roles(&self) -> Vec<Role> {
        match self.arrangement {
            Arrangement::Serve => vec![Role::Serve],
            Arrangement::Split => {
                std::iter::once(Role::Core).chain((0..self.edges).map(Role::Edge)).collect()
            }
        }
    }

    pub(crate) fn command(&self, role: Role, directory: &Path) -> Command {
        let launcher = self.launchers.get(&role).map_or(&[][..], Vec::as_slice);
        let mut command = process::command_by(launcher, directory);
        command.arg(match role {
            Role::Serve => "serve",
            Role::Core => "core",
            Role::Edge(_) => "edge",
        });
        command.envs(self.settings.iter().map(|(flag, value)| (variable_name(flag), value)));
        let data_dir = match role {
            Role::Serve | Role::Core => directory.join("data"),
            Role::Edge(index) => directory.join(format!("edge-{index}")),
        };
        if !self.settings.contains_key("data-dir") {
            command.env(variable_name("data-dir"), data_dir);
        }
        for (of, name, value) in &self.variables {
            if *of == role {
                command.env(name, value);
            }
        }
        command.args(self.arguments.iter().filter(|(of, _)| *of == role).map(|(_, text)| text));
        command
    }
}

/// `--http-addr`: `NETROX_CHAT_HTTP_ADDR`.
pub fn variable_name(flag: &str) -> String {
    format!("NETROX_CHAT_{}", flag.to_uppercase().replace('-', "_"))
}

/// A loopback address of the deployment's own, so that no other test's connection can sit on a
/// port that a restarted process wants back.
pub(crate) fn own_address() -> Ipv4Addr {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, 254);
    Ipv4Addr::new(127, high.max(1), low, number)
}
