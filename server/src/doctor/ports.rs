//! Whether the addresses that a role listens on are free, or taken by a server of ours. Who has them the kernel tells (Linux):
//! nobody is connected to.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use netrox_diagnosis::{Report, Subject};

use crate::{listener, settings::Settings};

/// As the kernel calls a process of ours.
const OURS: &str = "netrox-chat";
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const LISTENS: &str = "0A";

pub(super) fn look(settings: &Settings, report: &mut Report) {
    let parts = &settings.parts;
    let listeners = [
        ("http-addr", parts.edge().map(|edge| edge.addr)),
        ("grpc-addr", parts.core().map(|core| core.addr)),
        ("admin-addr", settings.admin.address()),
    ];
    for (flag, address) in listeners {
        let Some(address) = address else { continue };
        let name = settings.sources.name(flag);
        match listener::probe(address) {
            Ok(()) => report.note(Subject::Ports, format!("{name} {address} is free")),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                look_at_holder(&name, address, report);
            }
            Err(error) => {
                let cause = format!("{name}: failed to listen on {address}: {error}");
                let remedy = "give an address of this machine, and a port that its user may take";
                report.find(Subject::Ports, cause, remedy);
            }
        }
    }
}

fn look_at_holder(name: &str, address: SocketAddr, report: &mut Report) {
    let remedy = format!("stop it, or give another address in {name}");
    match holder(address) {
        Ok(Some(holder)) if holder.command == OURS => {
            let pid = holder.pid;
            report.note(
                Subject::Ports,
                format!("{name} {address} is a server of ours (process {pid})"),
            );
        }
        Ok(Some(Holder { pid, command })) => {
            let cause = format!("{name}: {command} (process {pid}) listens on {address}");
            report.find(Subject::Ports, cause, remedy);
        }
        Ok(None) => {
            let cause =
                format!("{name}: a process that this user may not see listens on {address}");
            let remedy = format!("look again as root, or as the user of the server; {remedy}");
            report.find(Subject::Ports, cause, remedy);
        }
        Err(error) => {
            let text = format!("who listens on {address}, which is {name}: {error}");
            report.skip(Subject::Ports, text);
        }
    }
}

struct Holder {
    pid: u32,
    command: String,
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
    Ok(pids.filter(|pid| has_one(*pid, &sockets)).find_map(|pid| {
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(Holder { pid, command: command.trim().to_owned() })
    }))
}

/// Its files are shown to its user alone, and to root.
fn has_one(pid: u32, sockets: &[PathBuf]) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .into_iter()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| sockets.contains(&target)))
}

/// The sockets of a table that listen where `address` is, as the files of a process show them.
fn listening(table: &str, address: SocketAddr) -> Vec<PathBuf> {
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let local = parse(local)?;
        let inode = fields.nth(5)?;
        let listens = state == LISTENS && meet(local, address);
        listens.then(|| PathBuf::from(format!("socket:[{inode}]")))
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// Whether two sockets cannot both listen.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let is_any = one_ip.is_unspecified() || other_ip.is_unspecified();
    one.port() == other.port() && (one_ip == other_ip || is_any)
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
            assert_eq!(found.pid, std::process::id(), "{address}");
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
