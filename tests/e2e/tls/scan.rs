//! What sslyze finds at the doors.

use std::{path::Path, process::Command};

use netrox_harness::{Arrangement, each};
use serde_json::Value;

use super::Secured;

/// All that it says against a door by Mozilla's "modern" profile, by its name there, with the reason why it stays.
const EXPLAINED: [(&str, &str); 2] = [
    (
        "tls_versions",
        "clients of the documented API run where there is no TLS 1.3 yet: Android 9, Java 8",
    ),
    (
        "ciphers",
        "those that TLS 1.2 needs, all of them with forward secrecy and authenticated encryption",
    ),
];
const SUITES: [(&str, &[&str]); 6] = [
    ("ssl_2_0", &[]),
    ("ssl_3_0", &[]),
    ("tls_1_0", &[]),
    ("tls_1_1", &[]),
    (
        "tls_1_2",
        &[
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ],
    ),
    (
        "tls_1_3",
        &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
    ),
];
/// What is so of a door that has no weakness of these.
const FACTS: [(&str, &str); 8] = [
    ("/tls_compression/result/supports_compression", "false"),
    ("/openssl_ccs_injection/result/is_vulnerable_to_ccs_injection", "false"),
    ("/tls_fallback_scsv/result/supports_fallback_scsv", "true"),
    ("/heartbleed/result/is_vulnerable_to_heartbleed", "false"),
    ("/robot/result/robot_result", "\"NOT_VULNERABLE_RSA_NOT_SUPPORTED\""),
    ("/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos", "false"),
    ("/session_renegotiation/result/supports_secure_renegotiation", "true"),
    ("/tls_extended_master_secret/result/supports_ems_extension", "true"),
];

async fn a_scanner_finds_what_is_explained(arrangement: Arrangement) {
    let Secured { authority, builder, .. } = Secured::new(arrangement);
    // Without a certificate of its own sslyze sees no more than the beginning of a handshake.
    let chat = builder.unset("grpc-tls-client-ca-file").start().await;
    let doors = [chat.edge().address, chat.grpc_address()];
    let (authority, directory) = (authority.certificate(), chat.directory().to_owned());
    let scan = tokio::task::spawn_blocking(move || {
        scan(&doors.map(|door| door.to_string()), &authority, &directory)
    });
    let Scan { said, results } = scan.await.expect("no panic");
    let doors = results["server_scan_results"].as_array().expect("results");
    assert_eq!(doors.len(), 2, "{results}");
    for door in doors {
        let (port, found) = (&door["server_location"]["port"], &door["scan_result"]);
        for (protocol, suites) in SUITES {
            let accepted =
                &found[format!("{protocol}_cipher_suites")]["result"]["accepted_cipher_suites"];
            let names = accepted.as_array().expect("suites").iter();
            let mut names: Vec<_> =
                names.map(|suite| suite["cipher_suite"]["name"].as_str()).collect();
            names.sort_unstable();
            assert_eq!(
                names,
                suites.iter().copied().map(Some).collect::<Vec<_>>(),
                "{port} {protocol}"
            );
        }
        for (pointer, expected) in FACTS {
            let fact = found.pointer(pointer).map(Value::to_string);
            assert_eq!(fact.as_deref(), Some(expected), "{port} {pointer}");
        }
    }
    let mut against: Vec<_> =
        said.lines().filter_map(|line| line.trim().strip_prefix("* ")).collect();
    against.sort_unstable();
    let names: Vec<_> = against.iter().filter_map(|line| line.split(':').next()).collect();
    // Of each door the same.
    let mut explained: Vec<_> = EXPLAINED.iter().flat_map(|(name, _)| [*name; 2]).collect();
    explained.sort_unstable();
    assert_eq!(names, explained, "{against:#?}");
}

each!(; split: a_scanner_finds_what_is_explained);

struct Scan {
    /// Against the doors.
    said: String,
    results: Value,
}

fn scan(doors: &[String], authority: &Path, directory: &Path) -> Scan {
    let python = std::env::var_os("NETROX_CHAT_TEST_PYTHON");
    let python = python.expect("NETROX_CHAT_TEST_PYTHON is not set: run the tests with tests/run");
    let file = directory.join("scan.json");
    let mut sslyze = Command::new(python);
    sslyze.args(["-m", "sslyze", "--mozilla_config", "modern", "--certinfo_ca_file"]);
    sslyze.arg(authority).arg("--json_out").arg(&file).args(doors);
    let output = sslyze.output().expect("run sslyze");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let compliance = said.split("COMPLIANCE AGAINST TLS CONFIGURATION").nth(1);
    let said = compliance.unwrap_or_else(|| panic!("{output:?}")).to_owned();
    let results = std::fs::read(file).expect("results");
    Scan { said, results: serde_json::from_slice(&results).expect("JSON") }
}
