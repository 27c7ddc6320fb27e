//! The deadline that a call has by `grpc-timeout`. tonic keeps it, too, but answers CANCELLED ("Timeout expired") where it has
//! passed, which callers take for their own doing: here the answer is DEADLINE_EXCEEDED, and comes first.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Response};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, body::Body};

const HEADER: &str = "grpc-timeout";
/// gRPC over HTTP/2: "a positive integer as ASCII string of at most 8 digits".
const MAX_DIGITS: usize = 8;
/// By so much it comes before tonic's, whose timer is at the next whole millisecond.
const AHEAD: Duration = Duration::from_millis(1);

/// A `grpc-timeout` that is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What a call's `grpc-timeout` says; `None` where it has none.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed);
    }
    let (unit, digits) = value.as_bytes().split_last().ok_or(Malformed)?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    if !is_number || !(1..=MAX_DIGITS).contains(&digits.len()) {
        return Err(Malformed);
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(Some(match unit {
        b'H' => Duration::from_secs(number * 60 * 60),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Err(Malformed),
    }))
}

/// When it is over; `None` where that is too far away to be an instant.
pub(super) fn after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout.saturating_sub(AHEAD))
}

/// The answer, or that the deadline has passed. As with tonic the head of an answer counts: a stream that has begun is
/// ended by its caller.
pub(super) async fn kept<E>(
    answer: impl Future<Output = Result<Response<Body>, E>>,
    deadline: Instant,
) -> Result<Response<Body>, E> {
    let mut answer = pin!(answer);
    let mut passed = pin!(sleep_until(deadline));
    poll_fn(|context| {
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Poll::Ready(answer);
        }
        // By the clock: tonic's timer may have been served before this one.
        if Instant::now() < deadline {
            ready!(passed.as_mut().poll(context));
        }
        Poll::Ready(Ok(Status::deadline_exceeded("the deadline has passed").into_http()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<Option<Duration>, Malformed> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().expect("a value"));
        timeout(&headers)
    }

    #[test]
    fn what_grpc_writes_is_read() {
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
        for (value, expected) in [
            ("1H", Duration::from_secs(3_600)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("04m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(of(value), Ok(Some(expected)), "{value}");
        }
    }

    #[test]
    fn what_is_none_is_not_taken_for_no_deadline() {
        for value in
            ["", "S", "5", "5s", "5h", "-1S", "+1S", "1.5S", " 1S", "1 S", "123456789S", "1SS"]
        {
            assert_eq!(of(value), Err(Malformed), "{value:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, "1S".parse().expect("a value"));
        twice.append(HEADER, "2S".parse().expect("a value"));
        assert_eq!(timeout(&twice), Err(Malformed));
    }
}
