//! Parsers of values that several flags share.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::builder::RangedU64ValueParser;
use http::Uri;

const LONGEST_WINDOW: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A time within `range`: a bare number is seconds, else the number has a unit.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let duration = parse_duration(text)?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let [low, high] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
        Err(format!("not within {low} and {high}"))
    }
}

/// How long something may still be done; absent for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window(pub(crate) Option<Duration>);

/// A time of at most a hundred years, 0 included, or `unlimited`.
pub(super) fn window(text: &str) -> Result<Window, String> {
    if text == "unlimited" {
        return Ok(Window(None));
    }
    duration(Duration::ZERO..=LONGEST_WINDOW)(text).map(|time| Window(Some(time)))
}

/// A time of a second to a hundred years, or `unlimited`.
pub(super) fn retention(text: &str) -> Result<Window, String> {
    if text == "unlimited" {
        return Ok(Window(None));
    }
    duration(Duration::from_secs(1)..=LONGEST_WINDOW)(text).map(|time| Window(Some(time)))
}

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) period: Duration,
}

const RATE_COUNTS: RangeInclusive<u32> = 1..=1_000_000;
const RATE_PERIODS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);

/// `N/TIME`: 1 to a million, in a second to a year.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let (count, period) = text.split_once('/').ok_or("write N/TIME, such as 20/1h")?;
    let count = count.parse().ok().filter(|count| RATE_COUNTS.contains(count));
    let count = count.ok_or("N must be 1 to 1000000: write N/TIME, such as 20/1h")?;
    // `1/s` and `20/h` are short for one of the unit.
    let is_unit = period.starts_with(|first: char| first.is_ascii_alphabetic());
    let period = if is_unit { format!("1{period}") } else { period.to_owned() };
    Ok(Rate { count, period: duration(RATE_PERIODS)(&period)? })
}

/// A rate, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited(pub(crate) Option<Rate>);

/// A rate, or `unlimited`.
pub(super) fn rate_or_none(text: &str) -> Result<Limited, String> {
    if text == "unlimited" { Ok(Limited(None)) } else { rate(text).map(|rate| Limited(Some(rate))) }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| {
        "not a time: write seconds (25), or a number with a unit (25s, 500ms)".to_owned()
    })
}

/// A whole number within `range`.
pub(super) fn number<T>(range: RangeInclusive<u64>) -> RangedU64ValueParser<T>
where
    T: TryFrom<u64> + Clone + Send + Sync,
{
    RangedU64ValueParser::new().range(range)
}

pub(super) fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be IP:PORT, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// The port of a URL, where it has one. http takes any digits for one.
pub(super) fn port(uri: &Uri) -> Result<Option<u16>, &'static str> {
    let Some(authority) = uri.authority() else { return Ok(None) };
    match authority.port_u16() {
        Some(0) => Err("port 0 is none"),
        None if authority.as_str().rsplit(']').next().is_some_and(|rest| rest.contains(':')) => {
            Err("its port is none: 1 to 65535")
        }
        port => Ok(port),
    }
}

/// Text that is not empty: an empty claim or header would match by accident.
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The path in a URL of `scheme`, as it stands: relative to the working directory unless it begins
/// with a slash.
pub(crate) fn path_of_url(url: &str, scheme: &str) -> Result<PathBuf, String> {
    let path = url
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
        .ok_or_else(|| format!("must be {scheme}://PATH"))?;
    if path.is_empty() {
        return Err(format!("has no path: must be {scheme}://PATH"));
    }
    if path.contains(['?', '#']) {
        return Err("takes no parameters".to_owned());
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_seconds_or_has_a_unit() {
        let parse = duration(Duration::from_millis(10)..=Duration::from_secs(3600));
        assert_eq!(parse("25"), Ok(Duration::from_secs(25)));
        assert_eq!(parse("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in
            ["", "s", "-1", "1.5", "25 parsecs", "0", "9ms", "3601", "99999999999999999999"]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        let hour = Duration::from_secs(3600);
        assert_eq!(rate("20/1h"), Ok(Rate { count: 20, period: hour }));
        assert_eq!(rate("1000000/h"), Ok(Rate { count: 1_000_000, period: hour }));
        assert_eq!(rate("5/90"), Ok(Rate { count: 5, period: Duration::from_secs(90) }));
        assert_eq!(rate_or_none("unlimited"), Ok(Limited(None)));
        assert_eq!(rate_or_none("5/90").map(|limited| limited.0), rate("5/90").map(Some));
        for wrong in
            ["", "20", "/1h", "0/1h", "-1/1h", "1000001/1h", "20/", "20/0", "20/900ms", "1/367d"]
        {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_window_is_shut_ends_or_does_not() {
        assert_eq!(window("0"), Ok(Window(Some(Duration::ZERO))));
        assert_eq!(window("24h"), Ok(Window(Some(Duration::from_secs(86_400)))));
        assert_eq!(window("unlimited"), Ok(Window(None)));
        for wrong in ["", "never", "-1", "101y"] {
            assert!(window(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_url_is_a_path() {
        assert_eq!(path_of_url("file:///srv/media", "file"), Ok("/srv/media".into()));
        assert_eq!(path_of_url("sqlite://data/chat.db", "sqlite"), Ok("data/chat.db".into()));
        for wrong in
            ["", "sqlite:", "sqlite://", "sqlite::memory:", "mysql://x", "sqlite://x?mode=ro"]
        {
            assert!(path_of_url(wrong, "sqlite").is_err(), "{wrong:?}");
        }
    }
}
