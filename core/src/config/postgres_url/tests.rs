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
    assert_refused("sslmode=require#&sslrootcert=s3cret", &["%23"]);
}

#[test]
fn what_may_be_part_of_a_password_is_not_repeated() {
    for url in [
        "postgres://chat:a?s3cret@db/chat",
        "postgres://chat:a?s3cret=b@db/chat",
        "postgres://db/chat?password=a&s3cret=b@c",
        "postgres://db/chat?s3%00cret=b",
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
fn several_hosts_are_refused_wherever_they_stand() {
    for url in [
        "postgres://one,two/chat",
        "postgres://chat:hunter2@one:5432,two:5433/chat",
        "postgres:///chat?host=one,two",
        "postgres://one/chat?hostaddr=10.0.0.1,10.0.0.2",
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
    let url = parse("ssl%6dode=verify-full&application_name=my+chat&options=-c%20a.b%3Dc").unwrap();
    assert!(matches!(url.options().get_ssl_mode(), PgSslMode::VerifyFull));
    assert_eq!(url.options().get_application_name(), Some("my chat"));
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
