use sqlx::postgres::PgSslMode;

use super::*;

fn parse(parameters: &str) -> Result<PostgresUrl, String> {
    let url = format!("postgres://chat:hunter2@db/chat?{parameters}");
    url.parse().map_err(|error: UrlError| error.to_string())
}

#[track_caller]
fn assert_refused(parameters: &str, words: &[&str]) {
    let refused = parse(parameters).expect_err(parameters);
    for word in words {
        assert!(refused.contains(word), "{word:?} is not in {refused:?}");
    }
    for secret in ["hunter2", "s3cret"] {
        assert!(!refused.contains(secret), "{refused:?}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_its_name() {
    assert_refused("ssl_mode=verify-full", &["ssl_mode", "is sslmode meant?"]);
    assert_refused("sslMode=verify-full", &["sslMode", "is sslmode meant?"]);
    assert_refused("sslmode=require&pool_size=s3cret", &["pool_size"]);
    assert_refused("pool_size", &["pool_size"]);
    // What stands before a password is no part of it.
    assert_refused("sslMode=verify-full&password=s3cret", &["sslMode", "is sslmode meant?"]);
}

#[test]
fn what_may_be_part_of_a_password_is_not_repeated() {
    for url in [
        "postgres://chat:a?s3cret@db/chat",
        "postgres://chat:a?s3cret=b@db/chat",
        "postgres://db/chat?password=a&s3cret=b@c",
        "postgres://db/chat?s3%00cret=b",
        "postgres://db/chat?user=chat&password=ab&s3cret",
        "postgres://db/chat?user=chat&password=ab&s3cret=c&sslmode=require",
    ] {
        let refused = url.parse::<PostgresUrl>().expect_err(url).to_string();
        assert!(refused.contains("percent-encoded"), "{refused}");
        assert!(!refused.contains("s3"), "{refused}");
    }
}

#[test]
fn a_promise_that_is_not_kept_is_refused_and_one_that_is_kept_is_taken() {
    assert_refused("channel_binding=require", &["channel_binding", "verify-full"]);
    assert_refused("target_session_attrs=read-write", &["target_session_attrs", "one address"]);
    assert_refused("sslpassword=s3cret", &["sslpassword", "not encrypted"]);
    assert_refused("passfile=s3cret", &["passfile", "PGPASSFILE"]);
    assert_refused("sslnegotiation=direct", &["sslnegotiation"]);
    assert_refused("ssl_min_protocol_version=TLSv1.3", &["ssl_min_protocol_version"]);
    assert_refused("sslcrl=s3cret", &["sslcrl"]);
    assert_refused("require_auth=scram-sha-256", &["require_auth"]);
    assert_refused("sslrootcert=system", &["sslrootcert=system", "ca-certificates.crt"]);
    assert_refused("sslmode=s3cret", &["no valid URL"]);
    for kept in [
        "channel_binding=prefer",
        "target_session_attrs=any",
        "sslnegotiation=postgres",
        "gssencmode=disable",
        "load_balance_hosts=disable",
    ] {
        assert_eq!(parse(kept).expect(kept).ignored_parameters(), [""; 0], "{kept}");
    }
}

#[test]
fn nothing_is_cut_off_at_a_number_sign() {
    for url in [
        "postgres://chat:hunter2@db/chat#x?sslmode=verify-full",
        "postgres://chat:hunter2#@db/chat",
        "postgres://chat:hunter2@db/chat?sslmode=require#&sslrootcert=s3cret",
    ] {
        let refused = url.parse::<PostgresUrl>().expect_err(url).to_string();
        assert!(refused.contains("%23") && !refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn a_file_of_authorities_is_refused_where_it_would_check_nothing() {
    for mode in ["sslmode=require&", "sslmode=prefer&", "ssl-mode=disable&", ""] {
        for name in ["sslrootcert", "ssl-root-cert", "ssl-ca"] {
            assert_refused(&format!("{mode}{name}=/ca.pem"), &["checked", "verify-full"]);
        }
    }
    for url in ["sslmode=verify-ca", "sslmode=verify-ca&sslrootcert=/ca.pem"] {
        assert_refused(url, &["verify-ca", "public authority", "verify-full"]);
    }
    for url in ["sslmode=verify-full&sslrootcert=/ca.pem", "sslmode=verify-full", "sslmode=require"]
    {
        assert!(parse(url).is_ok(), "{url}");
    }
}

fn parse_with(parameters: &str, variables: &[(&str, &str)]) -> Result<PostgresUrl, String> {
    let url = format!("postgres://chat:hunter2@db/chat?{parameters}");
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    PostgresUrl::parse(&url, variable).map_err(|error| error.to_string())
}

#[test]
fn a_variable_is_refused_or_named_as_the_parameter_that_it_stands_for() {
    for (name, value) in [
        ("PGSSLMODE", "verify_full"),
        ("PGCHANNELBINDING", "require"),
        ("PGREQUIREAUTH", "scram-sha-256"),
        ("PGTARGETSESSIONATTRS", "read-write"),
        ("PGSSLNEGOTIATION", "direct"),
        ("PGSSLCRL", "/crl.pem"),
        ("PGPORT", "many"),
    ] {
        let refused = parse_with("", &[(name, value)]).expect_err(name);
        assert!(refused.contains(name), "{refused}");
    }
    let refused = parse_with("sslmode=require", &[("PGSSLROOTCERT", "/ca.pem")]).unwrap_err();
    assert!(refused.contains("PGSSLROOTCERT"), "{refused}");
    // What the URL says counts.
    let overruled = [("PGSSLMODE", "verify_full"), ("PGCHANNELBINDING", "require")];
    for mode in ["sslmode", "ssl-mode"] {
        let parameters = format!("{mode}=verify-full&channel_binding=prefer");
        assert!(parse_with(&parameters, &overruled).is_ok(), "{mode}");
    }
    assert!(parse_with("", &[("PGSSLMODE", ""), ("PGREQUIREAUTH", "")]).is_ok());
    let url = parse_with("keepalives=1", &[("PGCONNECT_TIMEOUT", "5")]).expect("a URL");
    assert_eq!(url.ignored_parameters(), ["keepalives", "PGCONNECT_TIMEOUT"]);
}

#[test]
fn one_host_or_one_address_is_taken() {
    for url in
        ["postgres://one/chat?hostaddr=10.0.0.1", "postgres:///chat?host=one&hostaddr=10.0.0.1"]
    {
        let refused = url.parse::<PostgresUrl>().expect_err(url).to_string();
        assert!(refused.contains("hostaddr beside a host"), "{refused}");
    }
    let url: PostgresUrl = "postgres:///chat?hostaddr=10.0.0.1".parse().expect("a URL");
    assert_eq!(url.options().get_host(), "10.0.0.1");
}

#[test]
fn several_hosts_are_refused_wherever_they_stand() {
    for url in [
        "postgres://one,two/chat",
        "postgres://chat:hunter2@one:5432,two:5433/chat",
        "postgres:///chat?host=one,two",
        "postgres:///chat?hostaddr=10.0.0.1,10.0.0.2",
        "postgres://one/chat?port=1,2",
    ] {
        let refused = url.parse::<PostgresUrl>().expect_err(url).to_string();
        assert!(refused.contains("several hosts") && refused.contains("one address"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn what_only_tunes_is_named_once() {
    let url = parse("connect_timeout=3&keepalives=1&keepalives_idle=9&connect_timeout=5");
    let url = url.expect("a URL");
    assert_eq!(url.ignored_parameters(), ["connect_timeout", "keepalives", "keepalives_idle"]);
}

#[test]
fn what_is_known_is_obeyed() {
    let url =
        parse("ssl%6dode=verify-full&application_name=my%20chat+1&options=-c%20a.b%3Dc").unwrap();
    assert!(matches!(url.options().get_ssl_mode(), PgSslMode::VerifyFull));
    assert_eq!(url.options().get_application_name(), Some("my chat+1"));
    assert_eq!(url.options().get_options(), Some("-c a.b=c"));
    assert_eq!(url.to_string(), "postgres://db:5432/chat");
    for url in
        ["postgres://chat:pw@/db?host=/run/postgresql", "postgres:///db?host=/run/postgresql"]
    {
        let url = url.parse::<PostgresUrl>().expect(url);
        let options = url.options();
        assert_eq!(options.get_socket().and_then(|path| path.to_str()), Some("/run/postgresql"));
        assert_eq!(options.get_database(), Some("db"));
    }
}
