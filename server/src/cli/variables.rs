//! Variables that were meant for this program, and that no role has.

use std::{collections::BTreeSet, env};

use super::command;
use crate::{secret::Warnings, sources::variable};

const PREFIX: &str = "NETROX_CHAT_";
/// How many letters may be wrong in a name that is suggested, and in how many.
const MAX_DISTANCE: usize = 3;
const LETTERS_A_MISTAKE: usize = 3;

/// Warns about each: its setting is at its default.
pub(crate) fn warn(warnings: &mut Warnings) {
    let known = known();
    let names = env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
        let is_foreign = known.contains(&name) || is_of_kubernetes(&name);
        (!value.is_empty() && !is_foreign).then_some(name)
    });
    for name in names.collect::<BTreeSet<_>>() {
        warnings.add(match nearest(&name, &known) {
            Some(nearest) => format!("{name} is no setting: did you mean {nearest}?"),
            None => format!("{name} is no setting, and is ignored"),
        });
    }
}

/// Of a service `netrox-chat`, which Kubernetes tells to every container beside it
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_of_kubernetes(name: &str) -> bool {
    let rest = name.trim_start_matches(PREFIX);
    // Also of services whose names begin like it.
    let is_port = |rest: &str| {
        let mut words = rest.rsplit('_');
        let last = words.next();
        last == Some("PORT") || words.any(|word| matches!(word, "TCP" | "UDP" | "SCTP"))
    };
    let is_protocol = ["_TCP", "_UDP", "_SCTP"].iter().any(|end| rest.ends_with(end));
    rest.contains("SERVICE_HOST") || rest.contains("SERVICE_PORT") || is_protocol || is_port(rest)
}

/// Of all roles.
fn known() -> BTreeSet<String> {
    let command = command();
    let flags = command.get_subcommands().flat_map(clap::Command::get_arguments);
    flags.filter_map(|argument| argument.get_long().map(variable)).collect()
}

/// The name that is most like a text, where one is like it.
pub(super) fn nearest<'a>(
    text: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Option<&'a str> {
    let distance = |name: &&'a String| strsim::damerau_levenshtein(text, name);
    let most = MAX_DISTANCE.min(text.chars().count() / LETTERS_A_MISTAKE);
    let like = names.into_iter().filter(|name| distance(name) <= most);
    like.min_by_key(distance).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_tells_of_a_service_is_no_mistake() {
        for name in [
            "NETROX_CHAT_SERVICE_HOST",
            "NETROX_CHAT_SERVICE_PORT_HTTP",
            "NETROX_CHAT_PORT",
            "NETROX_CHAT_PORT_8080_TCP",
            "NETROX_CHAT_PORT_8080_TCP_ADDR",
            "NETROX_CHAT_EDGE_SERVICE_HOST",
            "NETROX_CHAT_EDGE_PORT_8080_TCP_PROTO",
        ] {
            assert!(is_of_kubernetes(name), "{name}");
        }
        for name in known().iter().map(String::as_str).chain(["NETROX_CHAT_HTPP_ADDR"]) {
            assert!(!is_of_kubernetes(name), "{name}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_where_there_is_one() {
        let known = known();
        for (misspelt, meant) in [
            ("NETROX_CHAT_HTPP_ADDR", Some("NETROX_CHAT_HTTP_ADDR")),
            ("NETROX_CHAT_JWT_SECRETS", Some("NETROX_CHAT_JWT_SECRET")),
            ("NETROX_CHAT_DATABASEURL", Some("NETROX_CHAT_DATABASE_URL")),
            ("NETROX_CHAT_OF_ANOTHER_RELEASE", None),
        ] {
            assert_eq!(nearest(misspelt, &known), meant, "{misspelt}");
        }
    }
}
