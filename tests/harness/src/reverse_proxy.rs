//! A proxy of Debian's, started with the configuration that `docs/PROXIES.md` shows.

use std::{
    fs,
    io::BufRead as _,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::{
    certificate::Authority,
    eventually,
    process::bound_to_its_test,
    settings::{free_address, own_address},
    tls::TlsClient,
};

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    HaProxy,
    Nginx,
    Caddy,
    Apache,
}

/// A running proxy in front of two edges. It ends, with all its processes, when it is dropped.
#[derive(Debug)]
pub struct ReverseProxy {
    child: Child,
    directory: TempDir,
    authority: Authority,
    address: SocketAddr,
}

/// What the documentation says in place of what a test has.
struct Places {
    address: SocketAddr,
    edges: [SocketAddr; 2],
    certificate: PathBuf,
    key: PathBuf,
    /// The certificate with its key beside it.
    pem: PathBuf,
    directory: PathBuf,
}

impl ReverseProxy {
    pub async fn start(kind: Kind, edges: [SocketAddr; 2]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (authority, address) = (Authority::new(), free_address());
        let issued = authority.issue("proxy", address.ip());
        let pem = directory.path().join("chat.pem");
        fs::copy(&issued.certificate, &pem).expect("a copy");
        fs::copy(&issued.key, directory.path().join("chat.pem.key")).expect("a copy");
        let places = Places {
            address,
            edges,
            certificate: issued.certificate,
            key: issued.key,
            pem,
            directory: directory.path().to_owned(),
        };
        let mut command = kind.command(&places);
        let log = fs::File::create(directory.path().join("stderr.log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        // As a service has it, without what a test was started with.
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", directory.path())
            .env("LD_LIBRARY_PATH", libraries());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let own_logs = || logs(directory.path());
        eventually("a proxy that listens", async || {
            let ended = child.try_wait().expect("its state");
            assert!(ended.is_none(), "{kind:?} ended: {ended:?} {}", own_logs());
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self { child, directory, authority, address }
    }

    /// A client at an address of its own, which speaks TLS.
    pub async fn client(&self) -> TlsClient {
        TlsClient::start(own_address(), self.address, &self.authority.certificate()).await
    }

    /// All that it has logged.
    pub fn logs(&self) -> String {
        logs(self.directory.path())
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- logs of the proxy\n{}", self.logs());
        }
    }
}

impl Kind {
    fn command(self, places: &Places) -> Command {
        let configuration = self.configuration(places);
        let at = |name: &str| places.directory.join(name);
        let write = |name: &str, text: &str| {
            fs::write(at(name), text).expect("written");
            at(name)
        };
        let own = write("chat.conf", &configuration);
        match self {
            Self::HaProxy => program("usr/sbin/haproxy", &["-db", "-f"], &own),
            Self::Nginx => {
                let main = format!(
                    "daemon off; pid {0}/nginx.pid; error_log {0}/error.log; user root;\n\
                     events {{}}\n\
                     http {{ client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; \
                     uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi; include {0}/chat.conf; }}\n",
                    places.directory.display()
                );
                program("usr/sbin/nginx", &["-e", "stderr", "-c"], &write("nginx.conf", &main))
            }
            Self::Caddy => {
                program("usr/bin/caddy", &["run", "--adapter", "caddyfile", "--config"], &own)
            }
            Self::Apache => {
                let main = apache(&configuration, places);
                let main = write("apache2.conf", &main);
                program("usr/sbin/apache2", &["-D", "FOREGROUND", "-f"], &main)
            }
        }
    }

    /// What the documentation shows, with the places of a test: each has to be there.
    fn configuration(self, places: &Places) -> String {
        let (ip, port) = (places.address.ip(), places.address.port());
        let directory = places.directory.display().to_string();
        let [edge1, edge2] = places.edges.map(|edge| edge.to_string());
        let certificate = places.certificate.display().to_string();
        let key = places.key.display().to_string();
        let mut changes = vec![("10.0.0.11:8080", edge1), ("10.0.0.12:8080", edge2)];
        let pair = [
            ("/etc/ssl/chat.example.com/fullchain.pem", certificate),
            ("/etc/ssl/chat.example.com/privkey.pem", key),
        ];
        match self {
            Self::HaProxy => changes.extend([
                ("bind :443 ", format!("bind {ip}:{port} ")),
                ("/etc/haproxy/chat.example.com.pem", places.pem.display().to_string()),
            ]),
            Self::Nginx => {
                changes.extend(pair);
                changes.extend([
                    ("listen 443 ", format!("listen {ip}:{port} ")),
                    ("/var/log/nginx/", format!("{directory}/")),
                ]);
            }
            Self::Caddy => {
                changes.extend(pair);
                changes.extend([
                    // Nothing at fixed ports.
                    (
                        "{\n    # Errors",
                        "{\n    admin off\n    auto_https disable_redirects\n    # Errors"
                            .to_owned(),
                    ),
                    ("chat.example.com {\n", format!(":{port} {{\n    bind {ip}\n")),
                    ("/var/log/caddy/", format!("{directory}/")),
                ]);
            }
            Self::Apache => {
                changes.extend(pair);
                changes.extend([
                    ("<VirtualHost *:443>", format!("<VirtualHost {ip}:{port}>")),
                    ("/var/log/apache2/", format!("{directory}/")),
                ]);
            }
        }
        let mut text = self.documented();
        for (documented, own) in changes {
            assert!(text.contains(documented), "no {documented} in {text}");
            text = text.replace(documented, &own);
        }
        text
    }

    /// The configuration below the heading with its name, which is indented.
    fn documented(self) -> String {
        let name = match self {
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Apache => "Apache",
        };
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROXIES.md");
        let page = fs::read_to_string(page).expect("docs/PROXIES.md");
        let section = page.split("\n## ").find(|section| section.starts_with(name));
        let section = section.unwrap_or_else(|| panic!("no section {name}"));
        let indented = section.lines().skip_while(|line| !line.starts_with("    "));
        let block = indented.take_while(|line| line.is_empty() || line.starts_with("    "));
        block.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or_default())).collect()
    }
}

/// The rest of what Debian's `apache2.conf` has, with the modules that the comment of the configuration names and those that
/// they need.
fn apache(configuration: &str, places: &Places) -> String {
    let named = configuration.lines().find_map(|line| line.strip_prefix("# a2enmod "));
    let named = named.expect("a line of modules").split(' ');
    let others = ["mpm_event", "authz_core", "socache_shmcb", "slotmem_shm", "alias"];
    let modules: String = others.into_iter().chain(named).map(load).collect();
    format!(
        "{modules}ServerName localhost\nPidFile {0}/apache.pid\nErrorLog {0}/error.log\nMutex file:{0}\n\
         DefaultRuntimeDir {0}\nUser nobody\nGroup nogroup\nListen {1}\nIncludeOptional {0}/chat.conf\n",
        places.directory.display(),
        places.address
    )
}

fn load(module: &str) -> String {
    let path = root().join(format!("usr/lib/apache2/modules/mod_{module}.so"));
    format!("LoadModule {module}_module {}\n", path.display())
}

fn program(path: &str, arguments: &[&str], configuration: &Path) -> Command {
    // As a group of its own it hears nothing from a terminal.
    let [setpriv, words @ ..] = bound_to_its_test("TERM");
    let mut command = Command::new(setpriv);
    command.args(words).arg(root().join(path)).args(arguments).arg(configuration);
    command
}

/// Where `tests/run` has unpacked them.
fn root() -> PathBuf {
    let root = std::env::var_os("NETROX_CHAT_TEST_PROXIES");
    root.expect("NETROX_CHAT_TEST_PROXIES, which tests/run sets").into()
}

/// What they need beside what is installed, if anything.
fn libraries() -> PathBuf {
    let directories = fs::read_dir(root().join("usr/lib")).into_iter().flatten().flatten();
    let mut directories = directories.map(|entry| entry.path());
    let found = directories.find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    found.unwrap_or_default()
}

/// What it wrote to any file of its own.
fn logs(directory: &Path) -> String {
    let files = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let logs = files.filter(|file| file.file_name().to_string_lossy().ends_with(".log"));
    let lines = logs.flat_map(|log| {
        let name = log.file_name().to_string_lossy().into_owned();
        let text = fs::read(log.path()).expect("a log");
        text.lines()
            .map(|line| format!("{name}: {}\n", line.unwrap_or_default()))
            .collect::<Vec<_>>()
    });
    lines.collect()
}
