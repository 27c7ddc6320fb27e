//! The parameters of libpq, and what is done with each.

/// What is done with a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Treatment {
    /// The driver does what it says.
    Obeyed,
    /// It tunes, and has no effect.
    Ignored,
    /// It promises what is not kept, but for these values. What to do instead.
    KeptOnlyAs(&'static [&'static str], &'static str),
}

use Treatment::{Ignored, KeptOnlyAs, Obeyed};

/// <https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS>, and what the driver adds.
const PARAMETERS: &[(&str, Treatment)] = &[
    ("application_name", Obeyed),
    ("dbname", Obeyed),
    ("host", Obeyed),
    ("hostaddr", Obeyed),
    ("options", Obeyed),
    ("password", Obeyed),
    ("port", Obeyed),
    ("ssl-ca", Obeyed),
    ("ssl-cert", Obeyed),
    ("ssl-key", Obeyed),
    ("ssl-mode", Obeyed),
    ("ssl-root-cert", Obeyed),
    ("sslcert", Obeyed),
    ("sslkey", Obeyed),
    ("sslmode", Obeyed),
    ("sslrootcert", Obeyed),
    ("statement-cache-capacity", Obeyed),
    ("user", Obeyed),
    ("connect_timeout", Ignored),
    ("fallback_application_name", Ignored),
    ("gsslib", Ignored),
    ("keepalives", Ignored),
    ("keepalives_count", Ignored),
    ("keepalives_idle", Ignored),
    ("keepalives_interval", Ignored),
    ("krbsrvname", Ignored),
    ("max_protocol_version", Ignored),
    ("sslcompression", Ignored),
    ("sslsni", Ignored),
    ("tcp_user_timeout", Ignored),
    ("channel_binding", KeptOnlyAs(&["disable", "prefer"], VERIFY)),
    ("client_encoding", KeptOnlyAs(&["UTF8", "utf8", "auto"], "it is always UTF8")),
    ("gssdelegation", KeptOnlyAs(&["0"], NO_GSS)),
    ("gssencmode", KeptOnlyAs(&["disable", "prefer"], NO_GSS)),
    ("load_balance_hosts", KeptOnlyAs(&["disable"], ONE_ADDRESS)),
    ("min_protocol_version", KeptOnlyAs(&["3.0"], "it is 3.0")),
    ("oauth_client_id", KeptOnlyAs(&[], NO_OAUTH)),
    ("oauth_client_secret", KeptOnlyAs(&[], NO_OAUTH)),
    ("oauth_issuer", KeptOnlyAs(&[], NO_OAUTH)),
    ("oauth_scope", KeptOnlyAs(&[], NO_OAUTH)),
    ("passfile", KeptOnlyAs(&[], "name the file in the variable PGPASSFILE")),
    ("replication", KeptOnlyAs(&["false", "off", "no", "0"], "it is no replication")),
    ("require_auth", KeptOnlyAs(&[], VERIFY)),
    ("requiressl", KeptOnlyAs(&["0"], "use sslmode")),
    ("requirepeer", KeptOnlyAs(&[], "nobody looks whose the socket is")),
    ("scram_client_key", KeptOnlyAs(&[], "give the password")),
    ("scram_server_key", KeptOnlyAs(&[], "give the password")),
    ("service", KeptOnlyAs(&[], "write out what the service stands for")),
    ("servicefile", KeptOnlyAs(&[], "write out what the service stands for")),
    ("ssl_max_protocol_version", KeptOnlyAs(&["TLSv1.3"], "TLS 1.2 and 1.3 are spoken")),
    (
        "ssl_min_protocol_version",
        KeptOnlyAs(
            &["TLSv1", "TLSv1.1", "TLSv1.2"],
            "TLS 1.2 and 1.3 are spoken: ask for more at the server",
        ),
    ),
    ("sslcertmode", KeptOnlyAs(&["allow"], "give sslcert and sslkey, or neither")),
    ("sslcrl", KeptOnlyAs(&[], "lists of revoked certificates are not read")),
    ("sslcrldir", KeptOnlyAs(&[], "lists of revoked certificates are not read")),
    ("sslkeylogfile", KeptOnlyAs(&[], "keys of sessions are not written down")),
    (
        "sslnegotiation",
        KeptOnlyAs(&["postgres"], "leave it out: the server has to take the usual one"),
    ),
    ("sslpassword", KeptOnlyAs(&[], "give a key that is not encrypted, in a file with mode 0600")),
    ("target_session_attrs", KeptOnlyAs(&["any"], ONE_PRIMARY)),
];
const VERIFY: &str = "use sslmode=verify-full, and scram-sha-256 at the server";
const NO_GSS: &str = "GSSAPI is not spoken: use TLS";
const NO_OAUTH: &str = "OAuth is not spoken: use a password or a certificate";
const ONE_ADDRESS: &str = "put one address in front of the servers";
const ONE_PRIMARY: &str = "a core refuses a standby in any case; where there are several servers, put one address in front \
    of them (a proxy, or a name that follows the primary)";

/// libpq's variables, and the parameter that each stands for where the URL has none:
/// <https://www.postgresql.org/docs/18/libpq-envars.html>. Those that say where to connect, and as whom, the driver obeys.
/// Those of `psql` and the like that promise nothing are left out.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGGSSDELEGATION", "gssdelegation"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGMAXPROTOCOLVERSION", "max_protocol_version"),
    ("PGMINPROTOCOLVERSION", "min_protocol_version"),
    ("PGPORT", "port"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSERVICE", "service"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// Gives the name as it is known, and what is done with it.
pub(super) fn treatment(name: &str) -> Option<(&'static str, Treatment)> {
    if name.starts_with("options[") && name.ends_with(']') {
        return Some(("options", Obeyed));
    }
    PARAMETERS.iter().find(|(known, _)| *known == name).copied()
}

/// The parameter that is meant by a name with another case, or dashes and lines in other places.
pub(super) fn meant_by(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let meant = PARAMETERS.iter().filter(|(known, _)| plain(known) == plain(name));
    meant.map(|(known, _)| *known).find(|known| !known.contains("ssl-"))
}

/// A parameter's name with the driver's other ones for it.
pub(super) fn names_of<'a>(name: &'a &'static str) -> &'a [&'static str] {
    match *name {
        "sslmode" => &["sslmode", "ssl-mode"],
        "sslrootcert" => &["sslrootcert", "ssl-root-cert", "ssl-ca"],
        _ => std::slice::from_ref(name),
    }
}
