//! Limits the output that each kind of message may cause, so that a server cannot flood a terminal, a script
//! or a disk.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Output that a kind of message may cause, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Output at once.
    pub burst: u32,
    /// Output per second after that.
    pub per_second: u32,
}

/// Meters the output of each kind of message.
#[derive(Debug)]
pub struct RateLimits<K>(Mutex<HashMap<K, Meter>>);

#[derive(Debug)]
struct Meter {
    /// Bytes that may still be written. Negative after a message that exceeded the rest.
    balance: f64,
    updated: Instant,
    suppressed: u64,
}

/// Whether a message may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The message may be written.
    Admitted,
    /// The message is the first one of its kind that must not be written.
    FirstSuppressed,
    /// The message must not be written.
    Suppressed,
}

impl<K> Default for RateLimits<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> RateLimits<K> {
    /// Returns whether a message may be written now. A single message may exceed the budget, so that even the
    /// longest one appears once.
    pub fn admit(&self, kind: K, budget: Budget, now: Instant) -> Admission {
        let mut meters = self.lock();
        let meter = meters.entry(kind).or_insert_with(|| Meter {
            balance: budget.burst.into(),
            updated: now,
            suppressed: 0,
        });
        let elapsed = now.saturating_duration_since(meter.updated).as_secs_f64();
        let refilled = meter.balance + elapsed * f64::from(budget.per_second);
        meter.balance = refilled.min(budget.burst.into());
        meter.updated = now;
        if meter.balance > 0.0 {
            return Admission::Admitted;
        }
        meter.suppressed += 1;
        match meter.suppressed {
            1 => Admission::FirstSuppressed,
            _ => Admission::Suppressed,
        }
    }

    /// Subtracts the length of an admitted message from the budget of its kind.
    pub fn charge(&self, kind: &K, bytes: usize) {
        if let Some(meter) = self.lock().get_mut(kind) {
            meter.balance -= bytes as f64;
        }
    }

    /// Returns the number of suppressed messages of all kinds that match.
    pub fn suppressed(&self, matches: impl Fn(&K) -> bool) -> u64 {
        let meters = self.lock();
        let matching = meters.iter().filter(|(kind, _)| matches(kind));
        matching.map(|(_, meter)| meter.suppressed).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_kind_has_a_burst_and_then_a_rate() {
        let limits = RateLimits::default();
        let budget = Budget {
            burst: 100,
            per_second: 10,
        };
        let start = Instant::now();
        let admit = |kind, ms| {
            let admission = limits.admit(kind, budget, start + Duration::from_millis(ms));
            if admission == Admission::Admitted {
                limits.charge(&kind, 50);
            }
            admission
        };
        assert_eq!([admit('a', 0), admit('a', 0)], [Admission::Admitted; 2]);
        assert_eq!(admit('a', 0), Admission::FirstSuppressed);
        assert_eq!(admit('a', 0), Admission::Suppressed);
        assert_eq!(admit('b', 0), Admission::Admitted, "another kind");
        assert_eq!(
            admit('a', 100),
            Admission::Admitted,
            "one byte is free again"
        );
        assert_eq!(admit('a', 4_900), Admission::Suppressed);
        assert_eq!(admit('a', 5_100), Admission::Admitted);
        assert_eq!(limits.suppressed(|_| true), 3);
        assert_eq!(limits.suppressed(|kind| *kind == 'b'), 0);
    }
}
