use std::{collections::BTreeMap, process::Command as Process};

use super::*;

fn texts() -> BTreeMap<String, String> {
    let pages = pages().unwrap().into_iter();
    pages.map(|(file, text)| (file, String::from_utf8(text).unwrap())).collect()
}

/// As a page has it.
fn escaped(text: &str) -> String {
    text.replace('-', "\\-")
}

/// Calls `look` with the words of each role and of each that stands behind one.
fn each_role(look: &mut dyn FnMut(&[&str], &Command)) {
    fn below<'a>(
        command: &'a Command,
        words: &mut Vec<&'a str>,
        look: &mut dyn FnMut(&[&str], &Command),
    ) {
        for role in command.get_subcommands() {
            words.push(role.get_name());
            look(words, role);
            below(role, words, look);
            words.pop();
        }
    }
    below(&cli::described(), &mut Vec::new(), look);
}

#[test]
fn each_role_has_a_page_with_each_of_its_flags_and_their_variables() {
    let pages = texts();
    let mut seen = 0;
    each_role(&mut |words, role| {
        let file = format!("netrox-chat-{}.1", words.join("-"));
        let page = pages.get(&file).unwrap_or_else(|| panic!("no {file}"));
        for flag in role.get_arguments().filter_map(|argument| argument.get_long()) {
            let variable = crate::sources::variable(flag);
            assert!(page.contains(&format!("\\fB{}\\fR", escaped(&format!("--{flag}")))), "{flag}");
            assert!(page.contains(&format!("\\fB{variable}\\fR")), "{variable} in {file}");
            seen += 1;
        }
    });
    assert!(seen > 300, "{seen} flags");
    // And one of the program.
    let mut roles = 1;
    each_role(&mut |_, _| roles += 1);
    assert_eq!(pages.len(), roles);
}

#[test]
fn the_page_of_the_program_has_what_people_look_for_in_it() {
    let pages = texts();
    let page = &pages["netrox-chat.1"];
    for heading in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "ROLES",
        "EXAMPLES",
        "ENVIRONMENT",
        "FILES",
        "SIGNALS",
        "\"EXIT STATUS\"",
        "\"SEE ALSO\"",
    ] {
        assert!(
            page.to_uppercase().contains(&format!("\n.SH {heading}\n")),
            "no {heading}: {page}"
        );
    }
    for line in cli::EXIT_STATUS.lines().chain(cli::EXAMPLES.lines()) {
        let line = escaped(&line.replace('\\', "\\\\"));
        assert!(page.contains(&format!("\n{line}\n")), "{line}");
    }
}

#[test]
fn what_a_page_names_is_a_page() {
    let pages = texts();
    for (file, page) in &pages {
        let (_, also) = page.rsplit_once("SEE ALSO\"\n").unwrap();
        for line in also.lines() {
            let (named, _) = line.trim_start_matches("\\fB").split_once("\\fR").unwrap();
            let named = named.replace("\\-", "-");
            assert!(pages.contains_key(&format!("{named}.1")), "{named} in {file}");
        }
    }
}

#[test]
fn each_shell_completes_each_role_and_each_flag() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(script(shell)).unwrap();
        each_role(&mut |words, role| {
            assert!(script.contains(role.get_name()), "{words:?}: {shell:?}");
            for flag in role.get_arguments().filter_map(|argument| argument.get_long()) {
                // fish has them without dashes.
                let flag =
                    if shell == Shell::Fish { format!("-l {flag} ") } else { format!("--{flag}") };
                assert!(script.contains(&flag), "{flag} of {words:?}: {shell:?}");
            }
        });
    }
}

/// The shell that is always there tells what it makes of its own.
#[test]
fn bash_completes_by_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("completions");
    fs::write(&path, script(Shell::Bash)).unwrap();
    let ask = "source \"$0\"; COMP_WORDS=(netrox-chat core --grpc-a); COMP_CWORD=2; \
               _netrox__chat netrox-chat --grpc-a core; echo \"${COMPREPLY[*]}\"";
    let answer = Process::new("bash").args(["-c", ask]).arg(&path).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "--grpc-addr\n");
}

#[test]
fn pages_are_for_everybody_to_read() {
    let directory = tempfile::tempdir().unwrap();
    man(directory.path()).unwrap();
    let page = directory.path().join("netrox-chat-serve.1");
    assert_eq!(fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o644);
    let nowhere = man(&directory.path().join("nowhere")).unwrap_err();
    assert!(nowhere.line().contains("nowhere/netrox-chat"), "{}", nowhere.line());
}
