//! Whether the addresses that a role listens on are free, or taken by a server of ours. Who has them the kernel tells (Linux):
//! nobody is connected to.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use netrox_diagnosis::{Report, Subject};

use crate::{listener, secret::Warnings, settings::Settings};

/// As the kernel calls a process of ours.
const OURS: &str = "netrox-chat";
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const LISTENS: &str = "0A";

/// Gives a server of ours that runs, if that is found.
pub(super) fn look(
    settings: &Settings,
    report: &mut Report,
    warnings: &mut Warnings,
) -> Option<u32> {
    let parts = &settings.parts;
    let listeners = [
        ("http-addr", parts.edge().map(|edge| edge.addr), false),
        ("grpc-addr", parts.core().map(|core| core.addr), false),
        ("admin-addr", settings.admin.address(), settings.admin.can_be_without()),
    ];
    let mut ours = None;
    for (flag, address, can_be_without) in listeners {
        let Some(address) = address else { continue };
        let name = settings.sources.name(flag);
        let look = Look { name, address, can_be_without };
        match listener::probe(address) {
            Ok(()) => report.note(Subject::Ports, format!("{} {address} is free", look.name)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                ours = look.at_holder(report, warnings).or(ours);
            }
            Err(error) => {
                let cause = format!("{}: failed to listen on {address}: {error}", look.name);
                let remedy = "give an address of this machine, and a port that its user may take";
                look.find(cause, remedy, report, warnings);
            }
        }
    }
    ours
}

struct Look {
    name: String,
    address: SocketAddr,
    /// A start only warns.
    can_be_without: bool,
}

impl Look {
    fn find(&self, cause: String, remedy: &str, report: &mut Report, warnings: &mut Warnings) {
        if self.can_be_without {
            warnings.add(format!("no metrics and no health over HTTP: {cause}; {remedy}"));
        } else {
            report.find(Subject::Ports, cause, remedy);
        }
    }

    /// Gives a server of ours.
    fn at_holder(&self, report: &mut Report, warnings: &mut Warnings) -> Option<u32> {
        let Self { name, address, .. } = self;
        let remedy = format!("stop it, or give another address in {name}");
        match holder(*address) {
            Ok(Some(Holder { pid, is_ours: true, .. })) => {
                let text = format!("{name} {address} is a server of ours (process {pid})");
                report.note(Subject::Ports, text);
                return Some(pid);
            }
            Ok(Some(Holder { pid, command, at, .. })) => {
                let cause = format!("{name} {address}: {command} (process {pid}) listens on {at}");
                self.find(cause, &remedy, report, warnings);
            }
            Ok(None) => {
                let text = format!(
                    "who listens on {address}, which is {name}: this user may not see it; look again as root, or as \
                     the user of the server"
                );
                report.skip(Subject::Ports, text);
            }
            Err(error) => {
                let text = format!("who listens on {address}, which is {name}: {error}");
                report.skip(Subject::Ports, text);
            }
        }
        None
    }
}

struct Holder {
    pid: u32,
    command: String,
    at: SocketAddr,
    /// A server of ours and of this user, which listens just there.
    is_ours: bool,
}

/// Who listens there; nothing where that is not shown to this user.
fn holder(address: SocketAddr) -> io::Result<Option<Holder>> {
    let mut sockets = Vec::new();
    for table in TABLES {
        match fs::read_to_string(table) {
            Ok(table) => sockets.extend(listening(&table, address)),
            // Of a kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table != TABLES[0] => {}
            Err(error) => return Err(error),
        }
    }
    let processes = fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let mut found = pids.filter_map(|pid| Some((pid, one_of(pid, &sockets)?)));
    Ok(found.find_map(|(pid, at)| of_process(pid, at, address)))
}

fn of_process(pid: u32, at: SocketAddr, address: SocketAddr) -> Option<Holder> {
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned();
    let user = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let is_of_this_user = user == rustix::process::geteuid().as_raw();
    let is_ours = command == OURS && is_of_this_user && at == address;
    Some(Holder { pid, command, at, is_ours })
}

/// Its files are shown to its user alone, and to root.
fn one_of(pid: u32, sockets: &[(PathBuf, SocketAddr)]) -> Option<SocketAddr> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.into_iter().find_map(|file| {
        let target = fs::read_link(file.path()).ok()?;
        sockets.iter().find(|(socket, _)| *socket == target).map(|(_, at)| *at)
    })
}

/// The sockets of a table that listen where `address` is, as the files of a process show them, and where each listens.
fn listening(table: &str, address: SocketAddr) -> Vec<(PathBuf, SocketAddr)> {
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let local = parse(local)?;
        let inode = fields.nth(5)?;
        let listens = state == LISTENS && listener::meet(local, address);
        listens.then(|| (PathBuf::from(format!("socket:[{inode}]")), local))
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// `0100007F:1F90`: words of the address as the machine has them in memory, and the port.
fn parse(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let words = words.collect::<Option<Vec<[u8; 4]>>>()?;
    let ip = match words[..] {
        [word] => IpAddr::from(Ipv4Addr::from(word)),
        [_, _, _, _] => {
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some((ip, port).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_listens_is_found_and_named() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            // Without IPv6 there is nothing to find.
            let Ok(taken) = TcpListener::bind(address) else { continue };
            let address = taken.local_addr().unwrap();
            let found = holder(address).unwrap().expect("this process");
            assert_eq!((found.pid, found.at), (std::process::id(), address));
            assert!(!found.is_ours, "{}", found.command);
            drop(taken);
            assert!(holder(address).unwrap().is_none(), "{address}");
        }
    }

    #[test]
    fn an_address_is_read_as_the_kernel_writes_it() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse("0100007F:1F90"), Some(([127, 0, 0, 1], 8080).into()));
            let loopback = "00000000000000000000000001000000:0050";
            assert_eq!(parse(loopback), Some((Ipv6Addr::LOCALHOST, 80).into()));
        }
        for nonsense in ["", "0100007F", ":1F90", "0100007F00:1F90", "0100007F:1F90F"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
