//! `netrox-chat completions` and `netrox-chat man`: what shells complete, and pages for `man`, both made out of the flags.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use clap::Command;
use clap_complete::aot::{Bash, Fish, Zsh, generate};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{
    cli::{self, Shell},
    failure::Failure,
};

#[cfg(test)]
mod tests;

const NAME: &str = "netrox-chat";
const SECTION: &str = "1";

/// What the program reads beside the variables of its flags.
const VARIABLES: [(&str, &str); 5] = [
    (
        "AWS_REGION, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and others of AWS",
        "Region, endpoint and credentials of a bucket, where a flag names one by s3://.",
    ),
    (
        "PGUSER, PGPASSWORD, PGSSLMODE, PGSSLROOTCERT and others of libpq",
        "What a URL of PostgreSQL leaves open.",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "Authorities of certificates, in place of those of the system.",
    ),
    ("TMPDIR", "Where the copy of a database is on its way to a bucket."),
    ("NO_COLOR", "If it is not empty, a log on a terminal has no colours."),
];

const FILES: [(&str, &str); 3] = [
    (
        "./data",
        "Unless --data-dir says otherwise: chat.db with what SQLite has beside it, attachments in media, and the \
         secrets that were generated, jwt-secret and service-token.",
    ),
    (
        "/etc/netrox-chat",
        "Variables and credentials of the units of the Debian package: serve.env, core.env, edge.env, backup.env.",
    ),
    (
        "/var/lib/netrox-chat, /var/lib/netrox-chat-core, /var/lib/netrox-chat-backup",
        "What these units keep.",
    ),
];

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let written = io::stdout().write_all(&script(shell));
    written.map_err(|source| Failure::System { what: "writing to stdout", source })
}

/// The library ends the process where it cannot write: into memory it can.
fn script(shell: Shell) -> Vec<u8> {
    let mut command = cli::described();
    let mut script = Vec::new();
    match shell {
        // The library (4.6.12) calls a role by two names if there is a hyphen in that of the program.
        Shell::Bash => {
            generate(Bash, &mut command, NAME, &mut script);
            script = String::from_utf8_lossy(&script)
                .replace("netrox__subcmd__chat", "netrox__chat")
                .into();
        }
        Shell::Zsh => generate(Zsh, &mut command, NAME, &mut script),
        Shell::Fish => generate(Fish, &mut command, NAME, &mut script),
    }
    script
}

/// One page of the program, and one of each role and of what stands behind it.
pub(crate) fn man(directory: &Path) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        for (file, text) in pages()? {
            let path = directory.join(file);
            // Readable by all, other than what the program writes otherwise.
            let written = fs::write(&path, text);
            let written =
                written.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o644)));
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            written.map_err(named)?;
        }
        Ok(())
    };
    write().map_err(|source| Failure::System { what: "writing the pages", source })
}

/// Names of files and what is to be in them.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    // Each would be given a `help` of its own.
    let mut command = cli::described().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut commands = vec![&command];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        pages.push((format!("{}.{SECTION}", name(command)), page(command)?));
    }
    Ok(pages)
}

/// `netrox-chat-user-show` of `netrox-chat user show`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .section(SECTION)
        // One that is empty would be left out, and what follows it taken for it.
        .date(" ")
        .source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))
        .manual(NAME);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let rest = if name(command) == NAME { of_program(command) } else { of_role(command) };
    rest.to_writer(&mut text)?;
    Ok(text)
}

/// As its help has it: the library's own names every flag.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage: "))]);
    roff
}

fn of_program(command: &Command) -> Roff {
    let mut roff = Roff::new();
    as_it_stands(&mut roff, "EXAMPLES", cli::EXAMPLES);
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(
        "Each flag is a variable as well, which the page of a role has with it: --http-addr is NETROX_CHAT_HTTP_ADDR. The \
         command line counts before the environment. Beside them these count:",
    )]);
    listed(&mut roff, &VARIABLES);
    roff.control("SH", ["FILES"]);
    listed(&mut roff, &FILES);
    roff.control("SH", ["SIGNALS"]);
    roff.text([roman(cli::SIGNALS)]);
    as_it_stands(&mut roff, "EXIT STATUS", cli::EXIT_STATUS);
    let roles: Vec<_> = command.get_subcommands().map(name).collect();
    see_also(&mut roff, &roles);
    roff
}

fn of_role(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman("As "), bold(NAME), roman("(1) has it.")]);
    let mut others = vec![NAME];
    others.extend(command.get_subcommands().map(name));
    see_also(&mut roff, &others);
    roff
}

fn as_it_stands(roff: &mut Roff, heading: &str, lines: &str) {
    roff.control("SH", [heading]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

fn listed(roff: &mut Roff, entries: &[(&str, &str)]) {
    for (entry, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*entry)]);
        roff.text([roman(*text)]);
    }
}

fn see_also(roff: &mut Roff, pages: &[&str]) {
    roff.control("SH", ["SEE ALSO"]);
    let (last, others) = pages.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
    for page in others {
        roff.text([bold(*page), roman(format!("({SECTION}),"))]);
    }
    roff.text([bold(last), roman(format!("({SECTION})"))]);
}
