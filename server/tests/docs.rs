//! What the pages of this repository say about it: places that they name exist, links lead somewhere, and lines have a
//! width that a terminal shows.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const WIDTH: usize = 100;
const PAGES: [&str; 34] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "clients/conformance/README.md",
    "clients/python/README.md",
    "clients/typescript/README.md",
    "clients/web/README.md",
    "docs/ACCESS.md",
    "docs/AUDIT-LOG.md",
    "docs/BACKUP.md",
    "docs/CALLING.md",
    "docs/CLIENTS.md",
    "docs/DEPLOY.md",
    "docs/FAILURES.md",
    "docs/JSON-LINES.md",
    "docs/KEYS.md",
    "docs/LIMITS.md",
    "docs/LOGS.md",
    "docs/METRICS.md",
    "docs/MIGRATING.md",
    "docs/OPERATING.md",
    "docs/PACKAGES.md",
    "docs/PERFORMANCE.md",
    "docs/PERFORMANCE-HISTORY.md",
    "docs/PROXIES.md",
    "docs/RETENTION.md",
    "docs/SEARCH.md",
    "docs/SECURITY-MODEL.md",
    "docs/SHADOW.md",
    "docs/TLS.md",
    "docs/UPGRADING.md",
    "docs/WRITING-A-CLIENT.md",
    "examples/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between two headings of the second level.
fn section(page: &str, heading: &str) -> String {
    let mut sections = page.split("\n## ");
    let found = sections.find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'));
    found.unwrap_or_else(|| panic!("no section {heading}")).to_owned()
}

/// The lines that are no code, with their numbers: code is fenced, or indented behind an empty line.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut is_fenced, mut is_code, mut was_empty) = (false, false, true);
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.starts_with("```");
        is_fenced ^= is_fence;
        is_code = line.starts_with("    ") && (is_code || was_empty);
        was_empty = line.is_empty();
        !is_fence && !is_fenced && !is_code
    })
}

/// What stands in backticks, line ends aside.
fn spans(text: &str) -> Vec<String> {
    let prose = prose(text).map(|(_, line)| line).collect::<Vec<_>>().join(" ");
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// `file: function` of a text, each with whether the file has the function.
fn functions(text: &str) -> Vec<(String, bool)> {
    named(text, &["fn"])
}

/// The text of each function of that name in a file: up to the first line that ends what is indented as far.
fn bodies<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("fn {name}");
    let found = source.match_indices(&start).filter(|(at, _)| {
        let rest = &source[at + start.len()..];
        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    let body = |at: usize| {
        let line = source[..at].rfind('\n').map_or(0, |end| end + 1);
        let text = &source[line..];
        let indent = &text[..text.len() - text.trim_start().len()];
        let end = text.find(&format!("\n{indent}}}\n"));
        &text[..end.unwrap_or(text.len())]
    };
    found.map(|(at, _)| body(at)).collect()
}

/// `file: name` of a text, each with whether the file has an item of that name and of one of these kinds.
fn named(text: &str, kinds: &[&str]) -> Vec<(String, bool)> {
    let has = |file: &str, name: &str| {
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        kinds.iter().any(|kind| {
            let start = format!("{kind} {name}");
            let mut rests = source.split(&start).skip(1);
            rests.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    let spans = spans(text);
    let named = spans.iter().filter_map(|span| span.split_once(".rs: "));
    let named = named.map(|(file, name)| (format!("{file}.rs"), name));
    named.map(|(file, name)| (format!("{file}: {name}"), has(&file, name))).collect()
}

#[test]
fn each_step_of_a_message_names_a_function_that_exists() {
    let life = section(&read("ARCHITECTURE.md"), "Life of a message");
    let is_step = |line: &str| {
        line.split_once(". ").is_some_and(|(number, _)| number.parse::<usize>().is_ok())
    };
    let mut steps: Vec<String> = Vec::new();
    for line in life.lines() {
        if is_step(line) {
            steps.push(line.trim_start_matches(|c: char| c.is_ascii_digit()).into());
        } else if let (true, Some(step)) = (line.starts_with("   "), steps.last_mut()) {
            // What is indented goes on with the step.
            *step += " ";
            *step += line.trim_start();
        }
    }
    assert!(steps.len() >= 10, "{steps:?}");
    let mut gone = Vec::new();
    for step in steps {
        let functions = functions(&step);
        assert!(!functions.is_empty(), "no `file: function` in: {step}");
        gone.extend(functions.into_iter().filter(|(_, exists)| !exists));
    }
    assert!(gone.is_empty(), "ARCHITECTURE.md names what is gone: {gone:#?}");
}

#[test]
fn each_guarantee_names_tests_that_exist() {
    let guarantees = section(&read("ARCHITECTURE.md"), "Guarantees");
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for guarantee in guarantees.split("\n* **").skip(1) {
        let name = guarantee.split_whitespace().next().expect("a name").to_owned();
        for (test, exists) in functions(guarantee) {
            assert!(exists, "{test} is gone, which ARCHITECTURE.md names for {name}");
            assert!(test.starts_with("tests/"), "{test} is no test from outside");
            *named.entry(name.clone()).or_default() += 1;
        }
    }
    let expected: Vec<String> = (1..=8).map(|number| format!("G{number}")).collect();
    assert_eq!(named.keys().cloned().collect::<Vec<_>>(), expected, "{named:?}");
}

#[test]
fn each_step_of_an_example_names_what_exists() {
    let named = named(&read("CONTRIBUTING.md"), &["fn", "struct", "enum", "trait", "const"]);
    assert!(named.len() >= 5, "{named:?}");
    let gone: Vec<_> = named.iter().filter(|(_, exists)| !exists).collect();
    assert!(gone.is_empty(), "CONTRIBUTING.md names what is gone: {gone:#?}");
}

#[test]
fn each_path_that_is_named_exists() {
    let (mut count, mut gone) = (0, Vec::new());
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for span in spans(&read(page)) {
            let places = ["proto/", "core/", "edge/", "server/", "benches/", "deploy/", "tests/"];
            let path = span.split([' ', ':']).next().unwrap_or_default();
            let is_path = places.iter().any(|place| path.starts_with(place));
            if !is_path || path.contains("*.") || path.contains('…') {
                continue;
            }
            count += 1;
            // `name*` is the file, the directory or both.
            let exists = match path.strip_suffix('*') {
                Some(stem) => [stem.to_owned(), format!("{stem}.rs")]
                    .iter()
                    .any(|path| root().join(path).exists()),
                None => root().join(path).exists(),
            };
            if !exists {
                gone.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(count >= 50, "{count} paths");
    assert!(gone.is_empty(), "paths that do not exist: {gone:#?}");
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn each_link_leads_somewhere() {
    for page in PAGES {
        let text = read(page);
        let text = prose(&text).map(|(_, line)| line).collect::<Vec<_>>().join(" ");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => PathBuf::from(page),
                path => Path::new(page).parent().unwrap_or(Path::new("")).join(path),
            };
            assert!(root().join(&file).exists(), "{page} links to {target}");
            if !fragment.is_empty() {
                let linked = read(&file);
                let mut headings = linked.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|heading| anchor(heading) == fragment);
                assert!(is_there, "{page} links to {target}, which is no heading");
            }
        }
    }
}

#[test]
fn no_line_of_prose_is_wider_than_a_terminal() {
    for page in PAGES {
        for (number, line) in prose(&read(page)) {
            // A table and an address cannot be broken.
            let is_fixed = line.starts_with('|') || line.contains("://");
            let width = line.chars().count();
            assert!(is_fixed || width <= WIDTH, "{page}:{number} has {width} columns");
        }
    }
}

#[test]
fn each_alarm_is_listed_and_leads_to_what_to_do() {
    let rules = read("deploy/prometheus/netrox-chat.rules.yml");
    let mut alarms = Vec::new();
    for rule in rules.split("      - alert: ").skip(1) {
        let name = rule.lines().next().expect("a name");
        let field = |field: &str| {
            let rest = rule.split_once(field).unwrap_or_else(|| panic!("{name} has no {field}")).1;
            rest.split([' ', '\n']).next().expect("a value").to_owned()
        };
        let (severity, target) = (field("severity: "), field("runbook: docs/"));
        let (page, fragment) = target.split_once('#').expect("a heading");
        let linked = read(Path::new("docs").join(page));
        let mut anchors = linked.lines().filter(|line| line.starts_with('#')).map(anchor);
        assert!(anchors.any(|anchor| anchor == fragment), "{name}: {target} is no heading");
        alarms.push((name.to_owned(), severity, target));
    }
    let woken = section(&read("docs/METRICS.md"), "Alarms");
    let rows = woken.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<_> = rows
        .map(|row| {
            let mut cells = row.split(" | ");
            let (name, severity) = (cells.next(), cells.next());
            let target = row.rsplit_once("| [").and_then(|(_, last)| last.split("](").nth(1));
            let target = target.and_then(|rest| rest.split(')').next()).expect("a link");
            let here = if target.starts_with('#') { "METRICS.md" } else { "" };
            let target = format!("{here}{target}");
            let name = name.expect("a name").trim_end_matches('`').to_owned();
            (name, severity.expect("a severity").to_owned(), target)
        })
        .collect();
    assert!(alarms.len() > 20, "{alarms:?}");
    assert_eq!(listed, alarms, "the table of docs/METRICS.md, and the rules");
}

/// The rows of the table of CONTRIBUTING whose head begins so.
fn faults(head: &str) -> Vec<String> {
    let section = section(&read("CONTRIBUTING.md"), "Faults and alarms");
    let table = section.split_once(&format!("\n\n{head}")).map_or("", |(_, table)| table);
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(str::to_owned).collect();
    assert!(rows.len() > 10, "{head}: {rows:?}");
    rows
}

/// Queues that are nearly full for minutes, which no test can hold. promtool's own tests show what they fire on.
const UNFIRED: [&str; 2] = ["QueueIsFull", "SendsPileUp"];

#[test]
fn each_alarm_fires_in_a_test_of_its_fault() {
    let rules = read("deploy/prometheus/netrox-chat.rules.yml");
    let names = rules.split("      - alert: ").skip(1).filter_map(|rule| rule.lines().next());
    let mut unfired: BTreeMap<&str, usize> = names.map(|name| (name, 0)).collect();
    for row in faults("| fault |") {
        let [_, _, alarms, tests, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        // The test, and what it calls for it.
        let tests = functions(tests);
        assert!(!tests.is_empty() && tests.iter().all(|(_, exists)| *exists), "{row}: {tests:?}");
        let sources = tests.iter().map(|(test, _)| test.split_once(": ").expect("a function"));
        let sources: Vec<_> = sources.map(|(file, name)| (read(file), name)).collect();
        let bodies: Vec<_> =
            sources.iter().flat_map(|(source, name)| bodies(source, name)).collect();
        for alarm in spans(alarms) {
            let word = format!("\"{alarm}\"");
            assert!(bodies.iter().any(|body| body.contains(&word)), "{row}: who asks for {alarm}?");
            let fired = unfired.get_mut(&*alarm).unwrap_or_else(|| panic!("{alarm} is no alarm"));
            *fired += 1;
        }
    }
    unfired.retain(|_, fired| *fired == 0);
    let unfired: Vec<_> = unfired.into_keys().collect();
    assert_eq!(unfired, UNFIRED, "those that no test makes fire");
}

#[test]
fn each_line_of_the_log_is_looked_for_in_a_test_of_its_fault() {
    for row in faults("| line of the log |") {
        let [_, lines, test, _] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let tests = functions(test);
        let [(test, true)] = &tests[..] else { panic!("{row}: {tests:?}") };
        let source = read(test.split(": ").next().unwrap_or(test));
        // Without what a text of Rust, or of JSON in it, escapes. Broken lines are joined.
        let source = source.replace('\\', "");
        let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in spans(lines) {
            // What differs from one time to another stands there as `…`; tests leave out the dashes of a flag.
            let parts = line.split('…').map(|part| part.trim().trim_start_matches("--"));
            let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
            assert!(source.contains(longest), "{test} does not look for: {longest}");
        }
    }
}

#[test]
fn each_event_of_the_audit_log_is_explained() {
    let section = section(&read("docs/AUDIT-LOG.md"), "Events");
    let source = read("server/audit/src/event.rs");
    let names = source.split("pub enum Name {").nth(1).and_then(|rest| rest.split("\n}").next());
    let names = names.expect("the names").lines().map(str::trim);
    let names = names.filter_map(|line| line.strip_suffix(',')).collect::<Vec<_>>();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let mut word = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !word.is_empty() {
                word.push('_');
            }
            word.push(letter.to_ascii_lowercase());
        }
        assert!(section.contains(&format!("`{word}`")), "{word} is not explained");
    }
}

#[test]
fn each_migration_since_the_first_release_is_told_to_those_who_upgrade() {
    let page = read("docs/UPGRADING.md");
    for (engine, of_first_release) in [("postgres", 3), ("sqlite", 2)] {
        let directory = root().join("core/migrations").join(engine);
        let files = fs::read_dir(&directory).expect("migrations");
        let mut latest = 0;
        for file in files.map(|file| file.expect("a file").file_name()) {
            let name = file.to_string_lossy().trim_end_matches(".sql").to_owned();
            let number = name.split('_').next().and_then(|number| number.parse::<u32>().ok());
            let number = number.unwrap_or_else(|| panic!("{name} has no number"));
            latest = latest.max(number);
            let is_told = number <= of_first_release || page.contains(&format!("`{name}`"));
            assert!(is_told, "{engine}: {name} is not in the tables of docs/UPGRADING.md");
        }
        let versions = section(&page, "Which version has which schema");
        let newest = versions.lines().rfind(|line| line.starts_with("| "));
        let cells: Vec<_> = newest.expect("a version").split('|').map(str::trim).collect();
        let cell = if engine == "postgres" { cells[2] } else { cells[3] };
        assert_eq!(cell, latest.to_string(), "{engine}: the newest schema of docs/UPGRADING.md");
    }
}
