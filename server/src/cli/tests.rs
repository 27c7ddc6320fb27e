use std::{collections::BTreeMap, time::Duration};

use clap::{Arg, Command, CommandFactory, Parser};
use netrox_edge::config::{AddressRate, Limits};

use super::*;

/// PROTOCOL sections 5 and 6, and what this program adds: flag, default, roles.
const FLAGS: [(&str, Option<&str>, &[&str]); 139] = [
    ("http-addr", Some("127.0.0.1:8080"), &["serve", "edge"]),
    ("http-tls-cert-file", None, &["serve", "edge"]),
    ("http-tls-key-file", None, &["serve", "edge"]),
    ("grpc-tls-cert-file", None, &["serve", "core"]),
    ("grpc-tls-key-file", None, &["serve", "core"]),
    ("grpc-tls-client-ca-file", None, &["serve", "core"]),
    ("core-ca-file", None, &["edge", "user", "tap"]),
    ("core-client-cert-file", None, &["edge", "user", "tap"]),
    ("core-client-key-file", None, &["edge", "user", "tap"]),
    ("allowed-origins", None, &["serve", "edge"]),
    ("demo", None, &["serve"]),
    ("grpc-addr", Some("127.0.0.1:50051"), &["serve", "core"]),
    ("core", Some("http://127.0.0.1:50051"), &["edge", "user", "tap"]),
    (
        "data-dir",
        Some("./data"),
        &[
            "serve", "core", "epoch", "token", "backup", "restore", "user", "tap", "export",
            "import",
        ],
    ),
    ("database-url", None, &["serve", "core", "epoch", "backup", "export", "import"]),
    ("database-url-file", None, &["serve", "core", "epoch", "backup", "export", "import"]),
    ("database-schema", None, &["serve", "core", "migrate", "epoch", "backup", "export", "import"]),
    (
        "accept-database-setting",
        None,
        &["serve", "core", "migrate", "epoch", "backup", "export", "import"],
    ),
    ("database-connection-lifetime", Some("30m"), &["serve", "core"]),
    ("bus-url", None, &["serve", "core"]),
    ("bus-url-file", None, &["serve", "core"]),
    ("bus-credentials-file", None, &["serve", "core"]),
    ("bus-nkey-file", None, &["serve", "core"]),
    ("bus-tls-first", Some("false"), &["serve", "core"]),
    ("bus-tls-ca-file", None, &["serve", "core"]),
    ("bus-tls-cert-file", None, &["serve", "core"]),
    ("bus-tls-key-file", None, &["serve", "core"]),
    ("media-url", None, &["serve", "core", "backup", "export", "import"]),
    ("require-existing-data", Some("false"), &["serve", "core"]),
    ("jwt-secret", None, &["serve", "edge", "token", "shadow"]),
    ("jwt-secret-file", None, &["serve", "edge", "token", "shadow"]),
    ("allow-weak-secret", Some("false"), &["serve", "edge", "token", "shadow"]),
    ("jwt-public-key-file", None, &["serve", "edge", "token"]),
    ("jwks-url", None, &["serve", "edge", "token"]),
    ("jwks-file", None, &["serve", "edge", "token"]),
    ("jwt-issuers-file", None, &["serve", "edge", "token"]),
    ("jwks-ca-file", None, &["serve", "edge", "token"]),
    ("jwks-cache", None, &["serve", "edge", "token"]),
    ("jwks-refresh-interval", Some("15m"), &["serve", "edge", "token"]),
    ("jwt-user-claim", Some("user_id"), &["serve", "edge", "token", "shadow"]),
    ("jwt-user-ids", Some("uuid"), &["serve", "edge", "token", "import", "shadow"]),
    (
        "jwt-user-id-namespace",
        Some("997dee3e-4d19-48d8-b178-269c1f59000d"),
        &["serve", "edge", "token", "import", "shadow"],
    ),
    ("jwt-type-claim", Some("token_type"), &["serve", "edge", "token", "shadow"]),
    ("jwt-issuer", None, &["serve", "edge", "token", "import", "shadow"]),
    ("jwt-audience", None, &["serve", "edge", "token", "shadow"]),
    ("service-token", None, &["serve", "core", "edge", "user", "tap"]),
    ("service-token-file", None, &["serve", "core", "edge", "user", "tap"]),
    ("service-tokens-file", None, &["serve", "core"]),
    ("media-access", Some("capability"), &["serve", "edge"]),
    ("cors-allow-origin", None, &["serve", "edge"]),
    ("close-on-token-expiry", Some("false"), &["serve", "edge"]),
    ("trusted-proxies", None, &["serve", "edge"]),
    ("proxy-protocol", Some("false"), &["serve", "edge"]),
    ("max-body-bytes", Some("16384"), &["serve", "core", "edge"]),
    ("max-frame-bytes", Some("65536"), &["serve", "edge"]),
    ("max-attachment-bytes", Some("26214400"), &["serve", "core", "edge"]),
    ("edit-window", Some("24h"), &["serve", "core", "edge"]),
    ("delete-window", Some("unlimited"), &["serve", "core", "edge"]),
    ("retain-messages", Some("unlimited"), &["serve", "core", "edge"]),
    ("allow-short-retention", Some("false"), &["serve", "core", "edge"]),
    ("search", Some("false"), &["serve", "core", "edge"]),
    ("search-rate", Some("5"), &["serve", "edge"]),
    ("send-rate", Some("50"), &["serve", "edge"]),
    ("send-burst", Some("100"), &["serve", "edge"]),
    ("receipt-rate", Some("20"), &["serve", "edge"]),
    ("receipt-burst", Some("200"), &["serve", "edge"]),
    ("typing-rate", Some("1"), &["serve", "edge"]),
    ("max-connections-per-user", Some("16"), &["serve", "edge"]),
    ("max-connections", Some("20000"), &["serve", "edge"]),
    ("max-uploads-per-user", Some("4"), &["serve", "edge"]),
    ("upload-bytes-per-day", None, &["serve", "edge"]),
    ("upload-bytes-rate", None, &["serve", "edge"]),
    ("max-history-reads-per-user", Some("4"), &["serve", "edge"]),
    ("max-downloads-per-user", Some("16"), &["serve", "edge"]),
    ("max-downloads-per-address", Some("64"), &["serve", "edge"]),
    ("max-downloads", Some("1024"), &["serve", "edge"]),
    ("new-conversations-rate", None, &["serve", "core"]),
    ("max-storage-per-user", None, &["serve", "core"]),
    ("failed-tokens-per-address", Some("1000/1m"), &["serve", "edge"]),
    ("unauthenticated-requests-per-address", Some("6000/1m"), &["serve", "edge"]),
    ("ping-interval", Some("25s"), &["serve", "edge"]),
    ("handshake-timeout", Some("10s"), &["serve", "edge"]),
    ("keep-alive-timeout", Some("75s"), &["serve", "edge"]),
    ("body-idle-timeout", Some("30s"), &["serve", "edge"]),
    ("outgoing-queue-frames", Some("256"), &["serve", "edge"]),
    ("outgoing-queue-bytes", Some("1048576"), &["serve", "edge"]),
    ("store-wait", Some("10s"), &["serve", "core", "edge"]),
    ("drain-timeout", Some("10s"), &["serve", "core", "edge"]),
    ("drain-delay", Some("0s"), &["serve", "edge"]),
    ("drain-spread", None, &["serve", "edge"]),
    ("link-ttl", Some("300s"), &["serve", "core"]),
    ("admin-addr", None, &["serve", "core", "edge"]),
    ("log-filter", Some("info"), &["serve", "core", "edge"]),
    ("log-format", Some("text"), &["serve", "core", "edge"]),
    ("otlp-endpoint", None, &["serve", "core", "edge"]),
    ("otlp-headers-file", None, &["serve", "core", "edge"]),
    ("otlp-ca-file", None, &["serve", "core", "edge"]),
    ("trace-ratio", Some("0.01"), &["serve", "core", "edge"]),
    ("client-traces-per-second", Some("10"), &["serve", "edge"]),
    ("audit-log", None, &["serve", "core", "edge", "export", "import"]),
    ("from", None, &["migrate", "restore", "import"]),
    ("from-file", None, &["import"]),
    ("media", None, &["import"]),
    ("mapping", None, &["import", "export"]),
    ("full", Some("false"), &["import"]),
    ("original-wins", Some("false"), &["import"]),
    ("to", None, &["migrate", "backup"]),
    ("keep", None, &["backup"]),
    ("verify", Some("false"), &["backup"]),
    ("backup", None, &["restore"]),
    ("dry-run", Some("false"), &["restore", "import"]),
    ("to-file", None, &["migrate"]),
    ("user-id", None, &["token"]),
    ("email", None, &["token"]),
    ("ttl", Some("3600"), &["token"]),
    ("check", Some("false"), &["token"]),
    ("scope", None, &["service-token"]),
    ("expires-in", None, &["service-token"]),
    ("issuer", None, &["user", "tap"]),
    ("json", Some("false"), &["doctor", "user", "tap", "shadow"]),
    ("session", None, &["user"]),
    ("issued-before", None, &["user"]),
    ("expires-at", None, &["user"]),
    ("yes", Some("false"), &["user"]),
    ("erase-messages", Some("false"), &["user"]),
    ("bodies", Some("false"), &["tap"]),
    ("all", Some("false"), &["export"]),
    ("original", None, &["shadow", "export"]),
    ("original-file", None, &["export"]),
    ("candidate", None, &["shadow"]),
    ("users", None, &["shadow"]),
    ("sample", None, &["shadow"]),
    ("rate", Some("20"), &["shadow"]),
    ("concurrency", Some("4"), &["shadow"]),
    ("timeout", Some("30s"), &["shadow"]),
    ("allow", None, &["shadow"]),
    ("allow-file", None, &["shadow"]),
    ("show", Some("20"), &["shadow"]),
    ("texts", Some("false"), &["shadow"]),
];

fn flags(role: &Command) -> BTreeMap<&str, &Arg> {
    role.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument))).collect()
}

#[test]
fn each_role_has_its_flags_and_no_others() {
    let command = command();
    for role in command.get_subcommands() {
        let expected = FLAGS.iter().filter(|(_, _, roles)| roles.contains(&role.get_name()));
        let mut expected: Vec<_> = expected.map(|(flag, _, _)| *flag).collect();
        expected.sort_unstable();
        let actual: Vec<_> = flags(role).into_keys().collect();
        assert_eq!(actual, expected, "{}", role.get_name());
    }
}

#[test]
fn a_look_takes_the_flags_of_the_role_that_is_looked_at() {
    let command = command();
    for look in ["check", "doctor"] {
        let look = command.find_subcommand(look).unwrap();
        let roles: Vec<_> = look.get_subcommands().map(Command::get_name).collect();
        assert_eq!(roles, ["serve", "core", "edge"]);
        for role in look.get_subcommands() {
            let started = command.find_subcommand(role.get_name()).unwrap();
            let [looked, started] = [role, started].map(|role| {
                let flags = flags(role).into_iter();
                flags.map(|(flag, argument)| (flag, argument.get_env())).collect::<Vec<_>>()
            });
            assert_eq!(looked, started);
        }
    }
}

#[test]
fn json_is_asked_for_on_either_side_of_the_role() {
    for (arguments, is_json) in [
        ("doctor --json", true),
        ("doctor --json core", true),
        ("doctor core --json", true),
        ("doctor --http-addr 127.0.0.1:1 --json=yes", true),
        ("doctor --json=false edge", false),
        ("doctor", false),
    ] {
        let arguments = ["netrox-chat"].into_iter().chain(arguments.split(' '));
        let arguments = with_role(arguments.map(OsString::from).collect());
        match Cli::try_parse_from(&arguments).unwrap().role {
            Role::Doctor(args) => assert_eq!(args.json, is_json, "{arguments:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn each_default_is_the_documented_one() {
    let command = command();
    for role in command.get_subcommands() {
        for (flag, argument) in flags(role) {
            let (_, default, _) = FLAGS.iter().find(|(name, _, _)| *name == flag).unwrap();
            let actual: Vec<_> = argument.get_default_values().iter().map(|v| v.to_str()).collect();
            assert_eq!(actual, default.map(Some).into_iter().collect::<Vec<_>>(), "{flag}");
        }
    }
}

#[test]
fn each_flag_is_a_variable_whose_value_is_not_shown() {
    let command = command();
    for role in command.get_subcommands() {
        for (flag, argument) in flags(role) {
            let expected = format!("NETROX_CHAT_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
            assert!(argument.is_hide_env_values_set(), "{flag}");
            assert!(argument.get_help().is_some(), "{flag}");
            assert!(argument.get_help_heading().is_some(), "{flag}");
        }
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

/// Without the environment.
fn serve(flags: &[&str]) -> ServeArgs {
    let arguments = ["netrox-chat", "serve"].into_iter().chain(flags.iter().copied());
    match Cli::try_parse_from(arguments).unwrap().role {
        Role::Serve(args) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_edge_gets_its_own_defaults_and_three_quarters_of_the_drain() {
    let args = serve(&[]);
    let limits = args.limits.to_limits(&args.common, &args.wait, &args.drain, SPREAD_AMONG_EDGES);
    let expected = Limits { drain_timeout: Duration::from_millis(7_500), ..Limits::default() };
    assert_eq!(format!("{limits:?}"), format!("{expected:?}"));
    assert!(!args.http.close_on_token_expiry);
}

#[test]
fn every_limit_reaches_the_edge() {
    let args = serve(&[
        "--max-body-bytes=11",
        "--max-frame-bytes=12",
        "--max-attachment-bytes=13",
        "--send-rate=14",
        "--send-burst=15",
        "--max-connections-per-user=16",
        "--max-connections=17",
        "--max-uploads-per-user=18",
        "--max-history-reads-per-user=19",
        "--ping-interval=20",
        "--handshake-timeout=21s",
        "--body-idle-timeout=22000ms",
        "--outgoing-queue-frames=23",
        "--outgoing-queue-bytes=24",
        "--store-wait=25s",
        "--drain-timeout=4m",
        "--upload-bytes-per-day=26",
        "--upload-bytes-rate=27",
        "--max-downloads-per-user=28",
        "--max-downloads-per-address=29",
        "--max-downloads=30",
        "--failed-tokens-per-address=36/2m",
        "--unauthenticated-requests-per-address=unlimited",
        "--keep-alive-timeout=31s",
        "--edit-window=32s",
        "--delete-window=33m",
        "--retain-messages=38d",
        "--receipt-rate=34",
        "--receipt-burst=35",
        "--search",
        "--search-rate=37",
        "--drain-spread=37s",
        "--typing-rate=37",
    ]);
    let expected = Limits {
        max_body_bytes: 11,
        max_frame_bytes: 12,
        max_attachment_bytes: 13,
        edit_window: Some(Duration::from_secs(32)),
        delete_window: Some(Duration::from_secs(33 * 60)),
        retain_messages: Some(Duration::from_secs(38 * 24 * 3600)),
        send_rate: 14,
        send_burst: 15,
        receipt_rate: 34,
        receipt_burst: 35,
        search: true,
        search_rate: 37,
        typing_rate: 37,
        max_connections_per_user: 16,
        max_connections: 17,
        max_uploads_per_user: 18,
        upload_bytes_per_day: Some(26),
        upload_bytes_rate: Some(27),
        max_history_reads_per_user: 19,
        max_downloads_per_user: 28,
        max_downloads_per_address: 29,
        max_downloads: 30,
        failed_tokens_per_address: Some(AddressRate {
            count: 36,
            period: Duration::from_secs(120),
        }),
        unauthenticated_requests_per_address: None,
        ping_interval: Duration::from_secs(20),
        handshake_timeout: Duration::from_secs(21),
        keep_alive_timeout: Duration::from_secs(31),
        body_idle_timeout: Duration::from_secs(22),
        outgoing_queue_frames: 23,
        outgoing_queue_bytes: 24,
        store_wait: Duration::from_secs(25),
        drain_timeout: Duration::from_secs(180),
        drain_spread: Duration::from_secs(37),
    };
    let limits = args.limits.to_limits(&args.common, &args.wait, &args.drain, SPREAD_ALONE);
    assert_eq!(format!("{limits:?}"), format!("{expected:?}"));
}

#[test]
fn a_drain_leaves_time_after_its_spread() {
    for (flags, default, spread, timeout) in [
        (&["--drain-timeout=4s"][..], SPREAD_AMONG_EDGES, 2_000, 3_000),
        (&["--drain-timeout=100s"], SPREAD_AMONG_EDGES, 5_000, 75_000),
        (&["--drain-spread=0"], SPREAD_AMONG_EDGES, 0, 7_500),
        (&["--drain-spread=9s"], SPREAD_AMONG_EDGES, 9_000, 9_500),
        (&[], SPREAD_ALONE, 0, 7_500),
        (&["--drain-spread=9s"], SPREAD_ALONE, 9_000, 9_500),
    ] {
        let args = serve(flags);
        let limits = args.limits.to_limits(&args.common, &args.wait, &args.drain, default);
        let drain = [limits.drain_spread, limits.drain_timeout].map(|time| time.as_millis());
        assert_eq!(drain, [spread, timeout], "{flags:?}");
    }
}

#[test]
fn a_switch_is_on_off_or_left_to_its_default() {
    assert!(serve(&["--close-on-token-expiry"]).http.close_on_token_expiry);
    assert!(serve(&["--close-on-token-expiry=on"]).http.close_on_token_expiry);
    assert!(!serve(&["--close-on-token-expiry=false"]).http.close_on_token_expiry);
}

#[test]
fn limits_that_contradict_one_another_are_refused() {
    for (flags, named) in [
        (vec!["--max-body-bytes=70000"], "--max-body-bytes"),
        (vec!["--max-frame-bytes=1000"], "--max-frame-bytes"),
        (vec!["--max-frame-bytes=2000000"], "--max-frame-bytes"),
        (vec!["--outgoing-queue-bytes=1000"], "--outgoing-queue-bytes"),
        (vec!["--max-frame-bytes=70000", "--outgoing-queue-bytes=1000"], "--max-frame-bytes"),
        (vec!["--drain-spread=10s"], "--drain-spread"),
        (vec!["--drain-timeout=5s", "--drain-spread=5s"], "--drain-spread"),
        (vec!["--retain-messages=23h"], "--retain-messages"),
        (vec!["--retain-messages=1s", "--allow-short-retention=no"], "--retain-messages"),
    ] {
        let args = serve(&flags);
        let sources = Sources::new(&flags.iter().map(OsString::from).collect::<Vec<_>>());
        let error = args.limits.check(&args.common, &args.drain, &sources).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{named}: ")), "{flags:?}: {error}");
    }
}

#[test]
fn the_default_role_is_put_in_as_a_word() {
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &["serve"]),
        (&["netrox-chat"], &["netrox-chat", "serve"]),
        (&["netrox-chat", "--data-dir", "x"], &["netrox-chat", "serve", "--data-dir", "x"]),
        (&["netrox-chat", "core"], &["netrox-chat", "core"]),
        (&["netrox-chat", "--help"], &["netrox-chat", "--help"]),
        (&["netrox-chat", "check", "-V"], &["netrox-chat", "check", "-V"]),
        (&["netrox-chat", "doctor"], &["netrox-chat", "doctor", "serve"]),
        (
            &["netrox-chat", "check", "--data-dir", "x"],
            &["netrox-chat", "check", "serve", "--data-dir", "x"],
        ),
        (&["netrox-chat", "-V"], &["netrox-chat", "-V"]),
        (&["netrox-chat", "nonsense"], &["netrox-chat", "nonsense"]),
    ];
    for (given, expected) in cases {
        let given = given.iter().map(OsString::from).collect();
        assert_eq!(with_role(given), expected.iter().map(OsString::from).collect::<Vec<_>>());
    }
}
