//! Completions for shells, and pages for `man`.

use std::fs;

use crate::{
    SECRET,
    process::{run, run_in},
};

#[test]
fn completions_go_to_stdout_without_secrets() {
    for (shell, expected) in [
        ("bash", "complete -F _netrox__chat"),
        ("zsh", "#compdef netrox-chat"),
        ("fish", "complete -c netrox-chat"),
    ] {
        let outcome = run(&["completions", shell], &[("NETROX_CHAT_JWT_SECRET", SECRET)]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert_eq!(outcome.stderr, "");
        assert!(outcome.stdout.contains(expected), "{shell}");
        assert!(outcome.stdout.contains("jwt-secret") && !outcome.stdout.contains(SECRET));
    }
    let outcome = run(&["completions", "tcsh"], &[]);
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("not one of bash, zsh, fish"), "{outcome:?}");
}

/// Also of a variable that is set, or set to nothing.
#[test]
fn pages_are_the_same_whatever_the_environment_has() {
    let write = |variables: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("man")).unwrap();
        let outcome = run_in(dir.path(), &["man", "man"], variables);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
        let pages = fs::read_dir(dir.path().join("man")).unwrap().map(|page| page.unwrap());
        let mut pages: Vec<_> = pages
            .map(|page| (page.file_name(), fs::read_to_string(page.path()).unwrap()))
            .collect();
        pages.sort();
        pages
    };
    let pages = write(&[]);
    assert!(pages.iter().any(|(name, _)| name == "netrox-chat-core.1"));
    for variables in [("NETROX_CHAT_JWT_SECRET", SECRET), ("NETROX_CHAT_GRPC_ADDR", "")] {
        assert_eq!(write(&[variables]), pages);
    }
    let outcome = run(&["man", "nowhere"], &[]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("nowhere/netrox-chat"), "{outcome:?}");
}
