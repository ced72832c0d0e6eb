//! One message being read: where, how deep, and what it may still cost.

use bytes::Bytes;

use super::{Error, MAX_DEPTH, MAX_NODES, Text};
use crate::core::wire::{Missing, Reader};

/// The bytes of a message, and the limits of reading it.
#[derive(Debug)]
pub(super) struct Input {
    message: Bytes,
    position: usize,
    depth: usize,
    nodes_left: usize,
    is_replay: bool,
}

impl Input {
    pub(super) fn new(message: Bytes) -> Self {
        Self {
            message,
            position: 0,
            depth: 0,
            nodes_left: MAX_NODES,
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

    /// Takes `length` bytes, as a slice of the message.
    pub(super) fn bytes(&mut self, length: u32, what: &'static str) -> Result<Bytes, Error> {
        let start = self.position;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.read(|reader| reader.take(length, what).map(drop))?;
        Ok(self.message.slice(start..self.position))
    }

    /// Takes `length` bytes as a string.
    pub(super) fn text(&mut self, length: u32, what: &'static str) -> Result<Text, Error> {
        self.bytes(length, what).map(Text)
    }

    /// Takes the next byte if it is `byte`.
    pub(super) fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.rest().first() == Some(&byte);
        if is_next {
            self.position = self.position.saturating_add(1);
        }
        is_next
    }

    /// Refuses a count of items, each of `item_size` bytes or more, that cannot all be there.
    pub(super) fn check_count(&self, count: u32, item_size: usize) -> Result<(), Error> {
        let items = usize::try_from(count).unwrap_or(usize::MAX);
        if items.saturating_mul(item_size) > self.rest().len() {
            return Err(Error::Count(count));
        }
        Ok(())
    }

    /// Takes one node from the message's budget.
    pub(super) fn count_node(&mut self) -> Result<(), Error> {
        let left = self.nodes_left.checked_sub(1);
        self.nodes_left = left.ok_or(Error::TooManyNodes)?;
        Ok(())
    }

    /// Goes inside a value. [`Input::ascend`] comes back out.
    pub(super) fn descend(&mut self) -> Result<(), Error> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        Ok(())
    }

    /// Comes out of a value.
    pub(super) fn ascend(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Goes back to read a value again. [`Input::resume`] with what this returns goes on from here.
    pub(super) fn replay(&mut self, position: usize) -> Resume {
        let resume = Resume {
            position: self.position,
            is_replay: self.is_replay,
        };
        self.position = position;
        self.is_replay = true;
        resume
    }

    /// Goes on from where a reference was met.
    pub(super) fn resume(&mut self, resume: Resume) {
        self.position = resume.position;
        self.is_replay = resume.is_replay;
    }

    /// Whether this is a value read again: what it holds is in the tables already.
    pub(super) fn is_replay(&self) -> bool {
        self.is_replay
    }

    /// How many bytes stand before the next one.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Whether all bytes were read.
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

/// Where reading goes on after a reference.
#[derive(Debug)]
pub(super) struct Resume {
    position: usize,
    is_replay: bool,
}

/// The values that references may point to, in order of appearance: where each begins, and whether it
/// was read to its end.
#[derive(Debug, Default)]
pub(super) struct References {
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    position: usize,
    is_complete: bool,
}

impl References {
    /// Enters the value that begins at `position`, unless it is only read again.
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

    /// Makes the value that [`References::enter`] gave `index` good to refer to.
    pub(super) fn complete(&mut self, index: Option<usize>) {
        if let Some(target) = index.and_then(|index| self.targets.get_mut(index)) {
            target.is_complete = true;
        }
    }

    /// Where the value at `index` begins.
    pub(super) fn position(&self, index: u32) -> Result<usize, Error> {
        let place = usize::try_from(index).ok();
        match place.and_then(|place| self.targets.get(place)) {
            None => Err(Error::BadReference(index)),
            Some(target) if !target.is_complete => Err(Error::Cycle(index)),
            Some(target) => Ok(target.position),
        }
    }
}
