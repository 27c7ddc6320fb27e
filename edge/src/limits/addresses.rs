//! How often something may happen from an address, whoever is there.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::unsync::Cache;
use tokio::time::Instant;

use super::rates::{TooMuch, time_of};
use crate::{client_address::ClientAddress, config::AddressRate};

/// More are not known at a time: whoever is forgotten begins anew. Of many that come once, those go first.
const MAX_KNOWN: usize = 16_384;

/// A rate with a burst as large as what may happen in its period.
pub(crate) struct AddressRates {
    rate: AddressRate,
    start: Instant,
    /// By when all that happened has worn off, in nanoseconds after `start`.
    wears_off: Mutex<Cache<ClientAddress, u64>>,
}

impl AddressRates {
    pub(crate) fn new(rate: AddressRate) -> Self {
        let wears_off = Mutex::new(Cache::new(MAX_KNOWN));
        Self { rate, start: Instant::now(), wears_off }
    }

    fn wears_off(&self) -> MutexGuard<'_, Cache<ClientAddress, u64>> {
        self.wears_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// By when one more would have worn off, and how long it would have to wait for that to be within the rate.
    fn next(&self, known: Option<u64>, now: Duration) -> (Duration, Duration) {
        let AddressRate { count, period } = self.rate;
        let before = known.map_or(now, |nanos| Duration::from_nanos(nanos).max(now));
        let after = before + time_of(1, count.max(1).into(), period);
        (after, after.saturating_sub(now + period))
    }

    /// Counts one more. What is too much costs nothing.
    pub(crate) fn count(&self, address: ClientAddress) -> Result<(), TooMuch> {
        let now = self.now();
        let mut all = self.wears_off();
        let (after, wait) = self.next(all.get(&address).copied(), now);
        if !wait.is_zero() {
            return Err(TooMuch { wait });
        }
        all.insert(address, u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Whether one more would be too much.
    pub(crate) fn is_used_up(&self, address: ClientAddress) -> Option<TooMuch> {
        let known = self.wears_off().get(&address).copied();
        let (_, wait) = self.next(known, self.now());
        (!wait.is_zero()).then_some(TooMuch { wait })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const RATE: AddressRate = AddressRate { count: 10, period: Duration::from_secs(60) };

    fn address(number: u32) -> ClientAddress {
        ClientAddress::new(Ipv4Addr::from(number).into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_the_whole_rate_and_each_wears_off_in_turn() {
        let rates = AddressRates::new(RATE);
        for one in [address(1), address(2)] {
            assert_eq!(rates.is_used_up(one), None);
            assert!((0..10).all(|_| rates.count(one).is_ok()));
            let too_much = TooMuch { wait: Duration::from_secs(6) };
            assert_eq!(rates.count(one), Err(too_much));
            assert_eq!(rates.is_used_up(one), Some(too_much));
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(rates.count(address(1)), Err(TooMuch { wait: Duration::from_secs(1) }));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(rates.count(address(1)).is_ok());
        assert!(rates.count(address(1)).is_err());
        tokio::time::advance(Duration::from_secs(600)).await;
        assert!((0..10).all(|_| rates.count(address(1)).is_ok()));
        assert!(rates.count(address(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_address_and_no_more_are_known_than_may_be() {
        let rates = AddressRates::new(RATE);
        let of_line = |number: u16| {
            ClientAddress::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, number, 0, 0, number).into())
        };
        assert!((0..10).all(|number| rates.count(of_line(number)).is_ok()));
        assert!(rates.count(of_line(10)).is_err());
        for number in 0..3 * MAX_KNOWN as u32 {
            assert!(rates.count(address(number)).is_ok());
            // Whoever comes again and again stays known.
            if number % 100 == 0 {
                assert!(rates.count(of_line(11)).is_err());
            }
        }
        assert!(rates.wears_off().len() <= MAX_KNOWN);
    }
}
