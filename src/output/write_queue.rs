//! Buffers on their way out: gathered until it is worth a system call, written from where they stand.

use std::{
    io::{self, IoSlice, Write},
    time::{Duration, Instant},
};

use super::muxer::Unit;

/// Whole tags that wait to be written.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    units: Vec<Unit>,
    bytes: usize,
    capacity: usize,
    oldest_at: Option<Instant>,
}

impl WriteQueue {
    pub(super) fn push(&mut self, now: Instant, unit: Unit) {
        self.bytes += unit.bytes.len();
        self.capacity += unit.bytes.capacity();
        self.oldest_at.get_or_insert(now);
        self.units.push(unit);
    }

    /// Whether enough is gathered. Capacity counts too: a small message may sit in a large buffer.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= WORTH_A_WRITE
            || self.capacity >= MAX_CAPACITY
            || self.units.len() >= MAX_SLICES
    }

    /// When the oldest buffer has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.oldest_at? + LONGEST_WAIT)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// What waits.
    pub(super) fn units(&self) -> &[Unit] {
        &self.units
    }

    /// What waits, to be put right before it is written.
    pub(super) fn units_mut(&mut self) -> &mut [Unit] {
        &mut self.units
    }

    /// Gives away what waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Unit> {
        self.forget();
        self.units.drain(..)
    }

    /// Gives away what waits, and uses the room of `empty` from now on.
    pub(super) fn take(&mut self, empty: Vec<Unit>) -> Vec<Unit> {
        debug_assert!(empty.is_empty(), "buffers would be written twice");
        self.forget();
        std::mem::replace(&mut self.units, empty)
    }

    fn forget(&mut self) {
        self.bytes = 0;
        self.capacity = 0;
        self.oldest_at = None;
    }
}

/// Writes all of `units`. An error says how many bytes were written before.
pub(super) fn write_all(writer: &mut impl Write, units: &[Unit]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    for units in units.chunks(MAX_SLICES) {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        for (slice, unit) in slices.iter_mut().zip(units) {
            *slice = IoSlice::new(&unit.bytes);
        }
        let mut slices = &mut slices[..units.len()];
        // Empty slices at the front would look like a writer that takes nothing.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match writer.write_vectored(slices) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut slices, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
    }
    Ok(())
}

/// Those tags that are whole within the first `written` bytes.
pub(super) fn complete_units(units: &[Unit], written: usize) -> &[Unit] {
    let mut end = 0;
    let complete = units.iter().take_while(|unit| {
        end += unit.bytes.len();
        end <= written
    });
    &units[..complete.count()]
}

/// Bytes at which a write is worth its system call.
const WORTH_A_WRITE: usize = 256 * 1024;

/// Memory that may wait in buffers, however little of it is filled.
const MAX_CAPACITY: usize = 1024 * 1024;

/// Buffers written at a time; systems take 1,024.
const MAX_SLICES: usize = 128;

/// How long a tag waits for company: what a kill can cost.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, then fails.
    struct Stubborn {
        taken: Vec<u8>,
        limit: usize,
    }

    impl Write for Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.taken.len() == self.limit {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(3).min(self.limit - self.taken.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn units() -> Vec<Unit> {
        let unit = |n: usize| Unit::head(vec![n as u8; n % 7]);
        (0..300).map(unit).collect()
    }

    #[test]
    fn everything_is_written_in_order_however_little_is_taken_at_a_time() {
        let mut writer = Stubborn {
            taken: Vec::new(),
            limit: usize::MAX,
        };
        write_all(&mut writer, &units()).unwrap();
        assert_eq!(
            writer.taken,
            units()
                .into_iter()
                .flat_map(|unit| unit.bytes)
                .collect::<Vec<u8>>()
        );
    }

    #[test]
    fn an_error_says_how_much_was_written() {
        let mut writer = Stubborn {
            taken: Vec::new(),
            limit: 100,
        };
        let (written, error) = write_all(&mut writer, &units()).unwrap_err();
        assert_eq!((written, error.kind()), (100, io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_torn_tag_is_not_counted() {
        let units = [vec![1; 10], vec![2; 20], vec![3; 5]].map(Unit::head);
        let whole: Vec<usize> = [0, 9, 10, 29, 30, 34, 35]
            .into_iter()
            .map(|written| complete_units(&units, written).len())
            .collect();
        assert_eq!(whole, [0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_queue_is_full_by_bytes_by_memory_or_by_number() {
        let now = Instant::now();
        let mut queue = WriteQueue::default();
        assert!(!queue.is_full() && queue.deadline().is_none());
        queue.push(now, Unit::head(vec![0; WORTH_A_WRITE]));
        assert!(queue.is_full());
        assert_eq!(queue.deadline(), Some(now + LONGEST_WAIT));
        assert_eq!(queue.take(Vec::new()).len(), 1);
        queue.push(now, Unit::head(Vec::with_capacity(MAX_CAPACITY)));
        assert!(queue.is_full());
        queue.take(Vec::new());
        for _ in 0..MAX_SLICES {
            queue.push(now, Unit::head(Vec::new()));
        }
        assert!(queue.is_full());
    }
}
