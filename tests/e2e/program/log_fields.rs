//! The lists of fields, spans and counted lines in `docs/LOGS.md` are what the sources have, in both directions. The sources
//! are read as tokens: whatever their format, and whatever macro a line stands in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use netrox_harness::alarms::repository;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Where the program is.
const SOURCES: [&str; 3] = ["core/src", "edge/src", "server"];
const LINES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "event"];
const SPANS: [&str; 6] =
    ["trace_span", "debug_span", "info_span", "warn_span", "error_span", "span"];

/// What stands in one place of the sources.
#[derive(Debug)]
struct Call {
    file: String,
    /// Of a span.
    name: Option<String>,
    fields: Vec<String>,
    /// Of a line, with `…` where a value comes.
    message: String,
}

/// What `docs/LOGS.md` has.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) fields: BTreeSet<String>,
    pub(super) spans: BTreeMap<String, BTreeSet<String>>,
    counted: Vec<String>,
}

impl Listed {
    pub(super) fn read() -> Self {
        let page = fs::read_to_string(repository().join("docs/LOGS.md")).expect("a page");
        let rows = |heading: &str| {
            let section = page.split(&format!("\n## {heading}\n")).nth(1);
            let section = section.unwrap_or_else(|| panic!("no section {heading}"));
            let section = section.split("\n## ").next().unwrap_or_default();
            let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
            rows.map(|row| row.split(" | ").map(named).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let mut listed = Self::default();
        for name in rows("Fields").into_iter().flat_map(|row| row[0].clone()) {
            assert!(listed.fields.insert(name.clone()), "{name} is listed twice");
        }
        for row in rows("Spans") {
            let fields = row[1].iter().cloned().collect();
            assert!(listed.spans.insert(row[0][0].clone(), fields).is_none(), "{row:?}: twice");
        }
        listed.counted = rows("Limits").into_iter().map(|row| row[0][0].clone()).collect();
        listed
    }
}

/// What stands in backticks, the first of which may be gone.
fn named(cell: &str) -> Vec<String> {
    let cell = cell.trim_start_matches('`');
    cell.split('`').step_by(2).filter(|name| !name.trim().is_empty()).map(str::to_owned).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn calls() -> Vec<Call> {
    let mut files = Vec::new();
    for directory in SOURCES {
        sources(&repository().join(directory), &mut files);
    }
    let mut calls = Vec::new();
    for path in files {
        let source = fs::read_to_string(&path).expect("a source");
        let tokens = source.parse::<TokenStream>();
        let tokens = tokens.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        walk(&path.display().to_string(), tokens, &mut calls);
    }
    assert!(calls.len() > 150, "too few lines: {}", calls.len());
    calls
}

fn walk(file: &str, tokens: TokenStream, calls: &mut Vec<Call>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut index = 0;
    while index < tokens.len() {
        if is_attribute(&tokens[index..], |text| text == "cfg(test)") {
            index += 2 + item(&tokens[index + 2..]);
            continue;
        }
        let is_instrument = |text: &str| text.contains("instrument");
        assert!(!is_attribute(&tokens[index..], is_instrument), "{file}: not known here");
        if let [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(arguments), ..] =
            &tokens[index..]
            && mark.as_char() == '!'
        {
            let name = name.to_string();
            if LINES.contains(&&*name) || SPANS.contains(&&*name) {
                let is_whole = is_of_tracing(&tokens[..index]);
                assert!(is_whole, "{file}: write tracing::{name}!, since others are not seen here");
                calls.push(call(file, &name, arguments.stream()));
            }
        }
        if let TokenTree::Group(group) = &tokens[index] {
            walk(file, group.stream(), calls);
        }
        index += 1;
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_attribute(tokens: &[TokenTree], is_wanted: impl Fn(&str) -> bool) -> bool {
    match tokens {
        [TokenTree::Punct(mark), TokenTree::Group(group), ..] => {
            let text = group.stream().to_string().replace(' ', "");
            // What a comment says is one as well.
            mark.as_char() == '#' && !text.starts_with("doc=") && is_wanted(&text)
        }
        _ => false,
    }
}

/// How many tokens the next item has.
fn item(tokens: &[TokenTree]) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is_punct(Some(other), ';'),
    };
    tokens.iter().position(is_end).map_or(tokens.len(), |end| end + 1)
}

fn is_of_tracing(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(name), first, second] => {
            name == "tracing" && is_punct(Some(first), ':') && is_punct(Some(second), ':')
        }
        _ => false,
    }
}

fn call(file: &str, name: &str, arguments: TokenStream) -> Call {
    let mut call =
        Call { file: file.to_owned(), name: None, fields: Vec::new(), message: String::new() };
    let parts = split(arguments);
    // `target: …` and the like.
    let is_option = |part: &[TokenTree]| {
        matches!(part[0], TokenTree::Ident(_))
            && is_punct(part.get(1), ':')
            && !is_punct(part.get(2), ':')
    };
    let mut parts = parts.into_iter().filter(|part| !is_option(part));
    if ["event", "span"].contains(&name) {
        parts.next().expect("a level");
    }
    if SPANS.contains(&name) {
        let part = parts.next().expect("a name");
        call.name = Some(text(&part[0]).unwrap_or_else(|| panic!("{file}: a span without a name")));
    }
    for part in parts {
        if let Some(message) = text(&part[0]) {
            // What follows is what is put into it.
            call.message = with_gaps(&message);
            break;
        }
        call.fields.push(field(file, &part));
    }
    call
}

fn split(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in tokens {
        if is_punct(Some(&token), ',') {
            parts.push(Vec::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(token);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `name`, `%name` or `?name`, or `name.of.something = value`.
fn field(file: &str, part: &[TokenTree]) -> String {
    let is_mark = ['%', '?'].iter().any(|mark| is_punct(part.first(), *mark));
    let part = if is_mark { &part[1..] } else { part };
    let end = part.iter().position(|token| is_punct(Some(token), '=')).unwrap_or(part.len());
    let is_name =
        |token: &TokenTree| matches!(token, TokenTree::Ident(_)) || is_punct(Some(token), '.');
    let name = &part[..end];
    let shown: String = name.iter().map(ToString::to_string).collect();
    assert!(!name.is_empty() && name.iter().all(is_name), "{file}: not understood: {shown}");
    shown
}

/// Of a literal.
fn text(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let literal = literal.to_string();
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    // A line that goes on begins where the next has its first word.
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let whole = lines.fold(first, |whole, line| whole + line.trim_start());
    Some(whole.replace("\\\"", "\""))
}

fn with_gaps(message: &str) -> String {
    let mut parts = message.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| {
        let rest = part.split_once('}').map_or("", |(_, rest)| rest);
        whole + "…" + rest
    })
}

#[test]
fn each_field_and_span_is_listed_and_nothing_else_is() {
    let (calls, listed) = (calls(), Listed::read());
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut spans: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Call { file, name, fields: of_call, message } in calls {
        for field in &of_call {
            let place = format!("{file}: {message}");
            fields.entry(field.clone()).or_insert(place);
        }
        if let Some(name) = name {
            spans.entry(name).or_default().extend(of_call);
        }
    }
    let lacking: Vec<_> =
        fields.iter().filter(|(field, _)| !listed.fields.contains(*field)).collect();
    assert!(lacking.is_empty(), "docs/LOGS.md lacks {lacking:#?}");
    let gone = listed.fields.iter().filter(|field| !fields.contains_key(*field));
    let gone: Vec<_> = gone.collect();
    assert!(gone.is_empty(), "docs/LOGS.md lists what no line has: {gone:#?}");
    assert_eq!(listed.spans, spans, "listed, and there");
}

#[test]
fn each_line_that_counts_what_is_untold_is_listed() {
    let counts = |call: &Call| call.fields.iter().any(|field| field == "untold");
    let messages: BTreeSet<_> =
        calls().into_iter().filter(counts).map(|call| call.message).collect();
    let mut listed = Listed::read().counted;
    // The longest first: one may begin as another does.
    listed.sort_by_key(|row| std::cmp::Reverse(row.len()));
    let mut found = BTreeSet::new();
    for message in messages {
        let is_of = |row: &&String| match row.strip_suffix('…') {
            Some(start) => message.starts_with(start),
            None => message == **row,
        };
        let row = listed.iter().find(is_of);
        let row = row.unwrap_or_else(|| panic!("docs/LOGS.md lacks {message:?}"));
        assert!(found.insert(row.clone()), "{row} is of several lines");
    }
    let gone: Vec<_> = listed.iter().filter(|row| !found.contains(*row)).collect();
    assert!(gone.is_empty(), "docs/LOGS.md lists what no line says: {gone:#?}");
}

#[test]
fn fields_are_found_whatever_the_form() {
    let source = r#"
        #[cfg(test)]
        mod tests { fn f() { tracing::info!(of_tests, "no"); } }
        /// A comment with instrument, and tracing::info!(comment, "no").
        fn f() {
            tokio::select! { () = a => { tracing  ::warn! (
                target: "x", user.id = %a.b(c, d), ?health, count
                    = 1, "one {count} \
                    two", rest) } }
            macro_rules! at { ($level:expr) => { tracing::event!($level, library, "x") } }
            let span = tracing::info_span!("batch", writes = list.len());
            let text = "tracing::info!(text, \"no\")";
        }
    "#;
    let mut calls = Vec::new();
    walk("a file", source.parse().expect("tokens"), &mut calls);
    let fields: Vec<_> = calls.iter().map(|call| call.fields.join(" ")).collect();
    assert_eq!(fields, ["user.id health count", "library", "writes"]);
    assert_eq!(calls[0].message, "one … two");
    assert_eq!(calls[2].name.as_deref(), Some("batch"));
}
