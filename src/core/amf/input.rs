//! The message that is being decoded, with position and limits.

use bytes::Bytes;

use super::{Error, MAX_DEPTH, MAX_VALUES, Text, VALUES_PER_BYTE};
use crate::core::wire::{Missing, Reader};

/// Bytes of a message, the position in them, the limits of decoding, and the first error.
///
/// A function that returns `None` has recorded an error. The message then cannot be decoded any further, and
/// every later read returns `None` as well, so that the values read before it can be kept.
#[derive(Debug)]
pub(super) struct Input {
    message: Bytes,
    position: usize,
    depth: usize,
    values_left: usize,
    is_replay: bool,
    error: Option<Error>,
    has_failed: bool,
}

impl Input {
    pub(super) fn new(message: Bytes) -> Self {
        Self {
            values_left: message
                .len()
                .saturating_mul(VALUES_PER_BYTE)
                .min(MAX_VALUES),
            message,
            position: 0,
            depth: 0,
            is_replay: false,
            error: None,
            has_failed: false,
        }
    }

    /// Records an error and ends decoding.
    pub(super) fn fail<T>(&mut self, error: Error) -> Option<T> {
        self.record(error);
        self.has_failed = true;
        None
    }

    /// Records an error after which decoding can continue.
    pub(super) fn record(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Returns the first recorded error.
    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Option<u8> {
        self.read(|reader| reader.u8(what))
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Option<u16> {
        self.read(|reader| reader.u16(what))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Option<u32> {
        self.read(|reader| reader.u32(what))
    }

    pub(super) fn f64(&mut self, what: &'static str) -> Option<f64> {
        self.read(|reader| reader.f64(what))
    }

    /// Reads `length` bytes as a slice of the message.
    pub(super) fn bytes(&mut self, length: u32, what: &'static str) -> Option<Bytes> {
        let start = self.position;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.read(|reader| reader.take(length, what).map(drop))?;
        Some(self.message.slice(start..self.position))
    }

    /// Reads `length` bytes as a string.
    pub(super) fn text(&mut self, length: u32, what: &'static str) -> Option<Text> {
        self.bytes(length, what).map(Text)
    }

    /// Skips the next byte if it is `byte`, and returns whether it was.
    pub(super) fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.rest().first() == Some(&byte);
        if is_next {
            self.position = self.position.saturating_add(1);
        }
        is_next
    }

    /// Fails if the remaining bytes cannot contain `count` items of at least `item_size` bytes.
    pub(super) fn check_count(&mut self, count: u32, item_size: usize) -> Option<()> {
        let items = usize::try_from(count).unwrap_or(usize::MAX);
        if items.saturating_mul(item_size) > self.rest().len() {
            return self.fail(Error::Count(count));
        }
        Some(())
    }

    /// Counts one value. Fails if the message contains too many.
    pub(super) fn count_value(&mut self) -> Option<()> {
        match self.values_left.checked_sub(1) {
            Some(left) => self.values_left = left,
            None => return self.fail(Error::TooManyValues),
        }
        Some(())
    }

    /// Enters a value. Fails if values nest too deep.
    pub(super) fn descend(&mut self) -> Option<()> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return self.fail(Error::TooDeep);
        }
        Some(())
    }

    /// Leaves a value entered with [`Input::descend`].
    pub(super) fn ascend(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Moves back to `position` to decode a value again. Pass the returned position to
    /// [`Input::return_to`] afterwards.
    fn replay(&mut self, position: usize) -> ReturnPosition {
        let return_position = ReturnPosition {
            position: self.position,
            is_replay: self.is_replay,
        };
        self.position = position;
        self.is_replay = true;
        return_position
    }

    /// Continues after a reference.
    pub(super) fn return_to(&mut self, return_position: ReturnPosition) {
        self.position = return_position.position;
        self.is_replay = return_position.is_replay;
    }

    /// Returns whether a value is being decoded again, so that its contents are already in the tables.
    pub(super) fn is_replay(&self) -> bool {
        self.is_replay
    }

    /// Returns the offset of the next byte in the message.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Returns whether no byte is left to decode.
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn read<T>(&mut self, field: impl FnOnce(&mut Reader<'_>) -> Result<T, Missing>) -> Option<T> {
        let mut reader = Reader::new(self.rest());
        let value = field(&mut reader);
        let left = reader.len();
        match value {
            Ok(value) => {
                self.position = self.message.len().saturating_sub(left);
                Some(value)
            }
            Err(missing) => self.fail(missing.into()),
        }
    }

    fn rest(&self) -> &[u8] {
        match self.has_failed {
            // After an error, every later read finds no bytes and fails.
            true => &[],
            false => self.message.get(self.position..).unwrap_or_default(),
        }
    }
}

/// Position after a reference.
#[derive(Debug)]
pub(super) struct ReturnPosition {
    position: usize,
    is_replay: bool,
}

/// Table of the values that references can refer to, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct References {
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    /// Offset of the value in the message.
    position: usize,
    /// Whether the value was decoded to its end. A reference to an incomplete value is a cycle.
    is_complete: bool,
}

impl References {
    /// Adds the value that begins at `position`, unless it is being decoded again. Returns its index.
    pub(super) fn enter(&mut self, position: usize, input: &Input) -> Option<usize> {
        if input.is_replay() {
            return None;
        }
        let index = self.targets.len();
        self.targets.push(Target {
            position,
            is_complete: false,
        });
        Some(index)
    }

    /// Marks the value with the `index` from [`References::enter`] as complete.
    pub(super) fn complete(&mut self, index: Option<usize>) {
        if let Some(target) = index.and_then(|index| self.targets.get_mut(index)) {
            target.is_complete = true;
        }
    }

    /// Moves `input` to the value with this index, to decode it again. Records an error and returns `None` if
    /// there is no such value, or if it encloses the reference.
    pub(super) fn replay(&self, index: u32, input: &mut Input) -> Option<ReturnPosition> {
        let target = usize::try_from(index).ok();
        match target.and_then(|target| self.targets.get(target)) {
            Some(target) if target.is_complete => return Some(input.replay(target.position)),
            Some(_) => input.record(Error::Cycle(index)),
            None => input.record(Error::BadReference(index)),
        }
        None
    }
}
