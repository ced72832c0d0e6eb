//! The message that is being decoded, with position and limits.

use bytes::Bytes;

use super::{Error, MAX_DEPTH, MAX_VALUES, Text, VALUES_PER_BYTE};
use crate::core::wire::{Missing, Reader};

/// Bytes of a message, the position in them, and the limits of decoding.
#[derive(Debug)]
pub(super) struct Input {
    message: Bytes,
    position: usize,
    depth: usize,
    values_left: usize,
    is_replay: bool,
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
        }
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.read(|reader| reader.u8(what))
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.read(|reader| reader.u16(what))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.read(|reader| reader.u32(what))
    }

    pub(super) fn f64(&mut self, what: &'static str) -> Result<f64, Error> {
        self.read(|reader| reader.f64(what))
    }

    /// Reads `length` bytes as a slice of the message.
    pub(super) fn bytes(&mut self, length: u32, what: &'static str) -> Result<Bytes, Error> {
        let start = self.position;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.read(|reader| reader.take(length, what).map(drop))?;
        Ok(self.message.slice(start..self.position))
    }

    /// Reads `length` bytes as a string.
    pub(super) fn text(&mut self, length: u32, what: &'static str) -> Result<Text, Error> {
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

    /// Returns an error if the remaining bytes cannot contain `count` items of at least `item_size` bytes.
    pub(super) fn check_count(&self, count: u32, item_size: usize) -> Result<(), Error> {
        let items = usize::try_from(count).unwrap_or(usize::MAX);
        if items.saturating_mul(item_size) > self.rest().len() {
            return Err(Error::Count(count));
        }
        Ok(())
    }

    /// Counts one value. Returns an error if the message contains too many.
    pub(super) fn count_value(&mut self) -> Result<(), Error> {
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or(Error::TooManyValues)?;
        Ok(())
    }

    /// Enters a value. Returns an error if values nest too deep.
    pub(super) fn descend(&mut self) -> Result<(), Error> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        Ok(())
    }

    /// Leaves a value entered with [`Input::descend`].
    pub(super) fn ascend(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Moves back to `position` to decode a value again. Pass the returned position to
    /// [`Input::return_to`] afterwards.
    pub(super) fn replay(&mut self, position: usize) -> ReturnPosition {
        let return_to = ReturnPosition {
            position: self.position,
            is_replay: self.is_replay,
        };
        self.position = position;
        self.is_replay = true;
        return_to
    }

    /// Continues after a reference.
    pub(super) fn return_to(&mut self, return_to: ReturnPosition) {
        self.position = return_to.position;
        self.is_replay = return_to.is_replay;
    }

    /// Returns whether a value is being decoded again, so that its contents are already in the tables.
    pub(super) fn is_replay(&self) -> bool {
        self.is_replay
    }

    /// Returns the offset of the next byte in the message.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Returns whether all bytes were read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn read<T>(
        &mut self,
        field: impl FnOnce(&mut Reader<'_>) -> Result<T, Missing>,
    ) -> Result<T, Error> {
        let mut reader = Reader::new(self.rest());
        let value = field(&mut reader)?;
        self.position = self.message.len().saturating_sub(reader.len());
        Ok(value)
    }

    fn rest(&self) -> &[u8] {
        self.message.get(self.position..).unwrap_or_default()
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

    /// Returns the offset of the value with this index.
    pub(super) fn position(&self, index: u32) -> Result<usize, Error> {
        let target = usize::try_from(index).ok();
        match target.and_then(|target| self.targets.get(target)) {
            None => Err(Error::BadReference(index)),
            Some(target) if !target.is_complete => Err(Error::Cycle(index)),
            Some(target) => Ok(target.position),
        }
    }
}
