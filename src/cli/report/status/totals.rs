//! Sums over all streams.

use std::time::Instant;

use super::{Registry, State, StreamStatus};

/// Sums over all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Number of streams in each state, in the order of [`State::ALL`].
    states: [usize; State::ALL.len()],
    /// Number of streams with trouble.
    pub trouble: usize,
    /// Received bytes per second.
    pub rate: u64,
    /// Size of all received messages.
    pub received_bytes: u64,
    /// Number of gaps.
    pub gaps: u64,
    /// Length of all gaps in milliseconds.
    pub gaps_ms: u64,
}

impl Totals {
    /// Adds a stream. `second` is the number of the current second.
    pub fn add(&mut self, stream: &StreamStatus, now: Instant, second: u64) {
        for (count, state) in self.states.iter_mut().zip(State::ALL) {
            *count += usize::from(state == stream.state);
        }
        self.trouble += usize::from(stream.has_trouble(now));
        self.rate = self.rate.saturating_add(stream.rate.current(second));
        self.received_bytes = self.received_bytes.saturating_add(stream.received_bytes);
        self.gaps = self.gaps.saturating_add(stream.gaps);
        self.gaps_ms = self.gaps_ms.saturating_add(stream.gaps_ms);
    }

    /// Returns the number of streams in `state`.
    pub fn of(&self, state: State) -> usize {
        let mut counts = self.states.iter().zip(State::ALL);
        let count = counts.find(|(_, other)| *other == state);
        count.map_or(0, |(count, _)| *count)
    }

    /// Returns the number of all streams.
    pub fn streams(&self) -> usize {
        self.states.iter().sum()
    }
}

impl Registry {
    /// Returns the sums over all streams.
    pub fn totals(&self, now: Instant) -> Totals {
        let second = self.second(now);
        let mut totals = Totals::default();
        self.for_each(|stream| totals.add(stream, now, second));
        totals
    }
}
