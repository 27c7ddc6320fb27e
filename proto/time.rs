//! Instants as whole microseconds since 1970-01-01T00:00:00Z, and their wire form.

use prost_types::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

/// The wire form of an instant.
pub fn timestamp(micros: i64) -> Timestamp {
    Timestamp {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        nanos: (micros.rem_euclid(MICROS_PER_SECOND) * NANOS_PER_MICRO) as i32,
    }
}

/// The instant of a wire form; finer digits are cut off, and what is out of range is put at its end.
pub fn micros(timestamp: &Timestamp) -> i64 {
    timestamp
        .seconds
        .saturating_mul(MICROS_PER_SECOND)
        .saturating_add(i64::from(timestamp.nanos) / NANOS_PER_MICRO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_both_ways_on_either_side_of_the_epoch() {
        for instant in [0, 1, -1, 1_718_623_701_902_531, -1_500_000, i64::MAX / 2] {
            assert_eq!(micros(&timestamp(instant)), instant);
        }
        assert_eq!(timestamp(-1).nanos, 999_999_000);
    }
}
