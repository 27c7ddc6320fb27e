//! The protos as callers compile them: with protoc's own generators, which read the options of other languages than ours.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

/// What a generator of protoc writes for all files of the contract, by path.
fn generated(option: &str) -> (TempDir, BTreeSet<PathBuf>) {
    let protoc = protoc_bin_vendored::protoc_bin_path().expect("a protoc for this machine");
    let include = protoc_bin_vendored::include_path().expect("protobuf's own files");
    let directory = tempfile::tempdir().expect("a directory");
    let names = std::fs::read_dir(Path::new(PROTOS).join("netrox/chat/v1")).expect("the contract");
    let files: Vec<_> = names.map(|entry| entry.expect("a file").path()).collect();
    assert!(!files.is_empty(), "no protos");
    let output = Command::new(protoc)
        .arg(format!("-I{PROTOS}"))
        .arg("-I")
        .arg(include)
        .arg(format!("--{option}_out={}", directory.path().display()))
        .args(files)
        .output()
        .expect("protoc runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{option}: {errors}");
    assert_eq!(errors, "", "{option}");
    let mut found = BTreeSet::new();
    let mut directories = vec![directory.path().to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.insert(path.strip_prefix(directory.path()).expect("below it").to_owned());
            }
        }
    }
    (directory, found)
}

#[test]
fn every_generator_of_protoc_takes_the_contract() {
    for option in ["cpp", "csharp", "java", "kotlin", "objc", "php", "python", "pyi", "ruby"] {
        let (_directory, files) = generated(option);
        assert!(!files.is_empty(), "{option}");
    }
}

#[test]
fn java_has_a_file_for_each_message_and_no_class_that_hides_one_of_its_own() {
    let (directory, files) = generated("java");
    let names: BTreeSet<_> = files
        .iter()
        .map(|path| {
            assert_eq!(path.parent(), Some(Path::new("netrox/chat/v1")), "{path:?}");
            path.file_stem().and_then(|name| name.to_str()).expect("a name")
        })
        .collect();
    for message in ["SendMessageRequest", "Message", "Attachment", "ErrorReason", "Failure"] {
        assert!(names.contains(message), "{message} is not in {names:?}");
    }
    for outer in [
        "AttachmentProto",
        "ChatProto",
        "DirectoryProto",
        "ErrorProto",
        "MessageProto",
        "SessionProto",
    ] {
        assert!(names.contains(outer), "{outer} is not in {names:?}");
    }
    assert!(!names.contains("Error"), "it hides java.lang.Error");
    let message = std::fs::read_to_string(directory.path().join("netrox/chat/v1/Message.java"));
    assert!(message.expect("a file").contains("\npackage netrox.chat.v1;\n"));
}

#[test]
fn csharp_has_its_namespace() {
    let (directory, files) = generated("csharp");
    for file in files {
        let text = std::fs::read_to_string(directory.path().join(&file)).expect("a file");
        assert!(text.contains("namespace Netrox.Chat.V1 {"), "{file:?}");
    }
}

/// protoc-gen-go is not protoc's own; what it needs of the files is this.
#[test]
fn every_file_says_what_go_calls_it() {
    for file in &crate::released::current().file {
        if file.package() == "netrox.chat.v1" {
            let options = file.options.as_ref().expect("options");
            assert_eq!(options.go_package(), "netrox/chat/v1;chatv1", "{}", file.name());
        }
    }
}
