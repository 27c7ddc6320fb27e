//! `deploy/Dockerfile`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{assert_knows_variables, commands, help_for, output_of, read, repository};

fn instructions(name: &str) -> Vec<String> {
    let lines = commands(&read("deploy/Dockerfile")).into_iter();
    let rest =
        lines.filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()));
    let rest: Vec<_> = rest.map(|rest| rest.trim().to_owned()).collect();
    assert!(!rest.is_empty(), "no {name}");
    rest
}

/// The last one counts.
fn last(name: &str) -> String {
    instructions(name).pop().expect("an instruction")
}

fn words_of_json(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What Cargo needs of every package: the manifest and the roots of its targets, relative to the repository.
fn needed_files() -> Vec<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value =
        serde_json::from_str(&output_of(cargo.current_dir(repository()))).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let paths = packages.flat_map(|package| {
        let targets = package["targets"].as_array().expect("targets").iter();
        targets.map(|target| &target["src_path"]).chain([&package["manifest_path"]])
    });
    let repository = repository();
    let relative = |path: &Value| {
        let path = Path::new(path.as_str().expect("a path"));
        path.strip_prefix(&repository).expect("a file of the repository").to_owned()
    };
    let others = ["Cargo.lock", "core/migrations", "proto/netrox"].map(PathBuf::from);
    paths.map(relative).chain(others).collect()
}

#[test]
fn every_package_gets_into_the_build() {
    let mut sources = Vec::new();
    for copy in instructions("COPY").iter().filter(|copy| !copy.contains("--from=")) {
        let mut paths: Vec<_> =
            copy.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        paths.pop();
        sources.extend(paths.into_iter().map(|path| path.trim_start_matches("./").to_owned()));
    }
    for source in &sources {
        assert!(repository().join(source).exists(), "{source} is not there");
    }
    let ignored = read("deploy/Dockerfile.dockerignore");
    let ignored: Vec<_> = ignored.lines().map(|line| line.trim_start_matches('/')).collect();
    for file in needed_files() {
        assert!(repository().join(&file).exists(), "{file:?} is not there");
        let is_copied = sources.iter().any(|source| source == "." || file.starts_with(source));
        assert!(is_copied, "{file:?} is not copied");
        let ignores = ignored.iter().find(|ignored| file.starts_with(ignored));
        assert_eq!(ignores, None, "{file:?} is ignored");
    }
}

#[test]
fn it_is_built_by_the_pinned_rust() {
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = "));
    let version = version.expect("a version").trim_matches('"');
    let images = instructions("FROM");
    assert!(images[0].contains(&format!("/rust:{version}-")), "{}", images[0]);
    let is_named = |env: &String| env.contains(&format!("RUSTUP_TOOLCHAIN={version} "));
    assert!(instructions("ENV").iter().any(is_named), "another toolchain");
}

#[tokio::test]
async fn the_program_knows_what_the_image_tells_it() {
    let program = &words_of_json(&last("ENTRYPOINT"))[0];
    assert!(last("COPY --from=build /netrox-chat").starts_with(program.as_str()), "{program}");
    let role = words_of_json(&last("CMD"));
    let help = help_for(&role.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_knows_variables(&help, &last("ENV"));
}
