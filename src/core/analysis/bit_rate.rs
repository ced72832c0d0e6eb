//! Largest bit rate of a track over one second.

/// Sliding sum of the bytes of one second, by timestamps.
#[derive(Debug, Default)]
pub(super) struct PeakRate {
    /// Number of the latest slot of [`SLOT_MS`].
    slot: Option<i64>,
    /// Bytes of the latest slots, the latest one last.
    bytes: [u64; SLOTS],
    /// Number of complete slots, up to [`SLOTS`].
    complete: usize,
    largest: Option<u64>,
}

impl PeakRate {
    /// Adds a frame.
    pub(super) fn add(&mut self, time_ms: i64, bytes: u64) {
        let slot = time_ms.div_euclid(SLOT_MS);
        let latest = *self.slot.get_or_insert(slot);
        let ahead = usize::try_from(slot.saturating_sub(latest)).unwrap_or(0);
        // Slots after a long silence are empty, so more rounds change nothing.
        for _ in 0..ahead.min(SLOTS) {
            self.finish_slot();
        }
        self.slot = Some(latest.max(slot));
        if let Some(last) = self.bytes.last_mut() {
            *last = last.saturating_add(bytes);
        }
    }

    /// Starts again after times that cannot be compared.
    pub(super) fn restart(&mut self) {
        *self = Self {
            largest: self.largest,
            ..Self::default()
        };
    }

    /// Returns the largest rate in bits per second.
    pub(super) fn largest(&self) -> Option<f64> {
        let bytes_per_second = self.largest?;
        Some(bytes_per_second as f64 * 8.0)
    }

    fn finish_slot(&mut self) {
        self.complete = self.complete.saturating_add(1).min(SLOTS);
        if self.complete == SLOTS {
            let sum = self
                .bytes
                .iter()
                .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
            self.largest = self.largest.max(Some(sum));
        }
        self.bytes.rotate_left(1);
        if let Some(last) = self.bytes.last_mut() {
            *last = 0;
        }
    }
}

/// Length of a slot in milliseconds.
const SLOT_MS: i64 = 100;

/// Number of slots of one second.
const SLOTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(frames: impl IntoIterator<Item = (i64, u64)>) -> Option<f64> {
        let mut rate = PeakRate::default();
        for (time_ms, bytes) in frames {
            rate.add(time_ms, bytes);
        }
        rate.largest()
    }

    #[test]
    fn peak_is_the_largest_second() {
        let constant = (0..50).map(|frame| (frame * 40, 1000));
        assert_eq!(peak(constant), Some(200_000.0));
        let burst = (0..50).map(|frame| (frame * 40, if frame == 30 { 11_000 } else { 1000 }));
        assert_eq!(peak(burst), Some(280_000.0));
    }

    #[test]
    fn less_than_a_second_has_no_peak() {
        assert_eq!(peak((0..25).map(|frame| (frame * 40, 1000))), None);
        assert_eq!(peak([]), None);
    }

    #[test]
    fn times_before_the_latest_count_as_the_latest() {
        let frames = [(0, 500), (-5000, 500), (i64::MIN, 0), (1000, 0)];
        assert_eq!(peak(frames), Some(8000.0));
        assert_eq!(
            peak([(0, u64::MAX), (i64::MAX, u64::MAX)]),
            Some(u64::MAX as f64 * 8.0)
        );
    }
}
