//! What comes before the first frame.

use crate::core::{flv::FrameInfo, payload::Payload};

/// SequenceHeaders and script data that wait, in order of arrival, for the frame that opens the output.
#[derive(Debug, Default)]
pub(super) struct Pending {
    messages: Vec<Message>,
    bytes: usize,
}

#[derive(Debug)]
struct Message {
    info: FrameInfo,
    payload: Payload,
}

impl Pending {
    /// Holds a message as long as there is room. SequenceHeaders makes room for itself, since nothing can
    /// be decoded without: the oldest script data goes, then the oldest configuration.
    ///
    /// What has to go is added to `dropped`.
    pub(super) fn hold(&mut self, info: FrameInfo, payload: Payload, dropped: &mut Vec<Payload>) {
        let length = payload.capacity();
        if info.is_sequence_header && length <= MAX_BYTES {
            while !self.has_room(length) {
                dropped.push(self.give_up_oldest());
            }
        }
        if !self.has_room(length) {
            tracing::debug!(
                "a message of kind {} before the first frame is dropped",
                info.track
            );
            return dropped.push(payload);
        }
        self.bytes += length;
        self.messages.push(Message { info, payload });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Gives away all that is held.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (FrameInfo, Payload)> + use<> {
        let Self { messages, .. } = std::mem::take(self);
        messages
            .into_iter()
            .map(|message| (message.info, message.payload))
    }

    /// The lengths of all that is held.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.messages.iter().map(|message| message.payload.len())
    }

    fn has_room(&self, length: usize) -> bool {
        self.messages.len() < MAX_MESSAGES && length <= MAX_BYTES - self.bytes
    }

    fn give_up_oldest(&mut self) -> Payload {
        let mut messages = self.messages.iter();
        let oldest = messages.position(|message| !message.info.is_sequence_header);
        let Message { info, payload } = self.messages.remove(oldest.unwrap_or(0));
        tracing::debug!(
            "a message of kind {} before the first frame gives way to another",
            info.track
        );
        self.bytes -= payload.capacity();
        payload
    }
}

/// Messages that wait: a server that sends cue points or captions for minutes before its first frame
/// is no recording.
const MAX_MESSAGES: usize = 64;

/// Memory that they may take: configuration has a few hundred bytes, and what scripts send few more.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held of messages that are told apart by their lengths, and how many were dropped.
    fn held(messages: impl IntoIterator<Item = (bool, usize)>) -> (Vec<usize>, usize) {
        let (mut early, mut dropped) = (Pending::default(), Vec::new());
        for (is_sequence_header, length) in messages {
            let payload = Payload::from(&vec![7; length][..]);
            let info = FrameInfo {
                is_sequence_header,
                ..FrameInfo::SCRIPT
            };
            early.hold(info, payload, &mut dropped);
        }
        let held = early.take().map(|(_, payload)| payload.len()).collect();
        assert!(early.messages.is_empty() && early.bytes == 0);
        (held, dropped.len())
    }

    #[test]
    fn order_is_kept() {
        let messages = [(false, 10), (true, 20), (false, 30), (true, 40)];
        assert_eq!(held(messages), (vec![10, 20, 30, 40], 0));
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        let (lengths, dropped) = held((1..=70).map(|length| (false, length)));
        assert_eq!((lengths, dropped), ((1..=64).collect(), 6));
        let large = [600_000, 300_000, 200_000, 100_000];
        let messages = large.map(|length| (false, length));
        assert_eq!(held(messages), (vec![600_000, 300_000, 100_000], 1));
        assert_eq!(held([(true, MAX_BYTES + 1)]), (vec![], 1));
    }

    #[test]
    fn script_data_gives_way_to_configuration_and_never_the_other_way() {
        let script = (1..=64).map(|length| (false, length));
        let (lengths, dropped) = held(script.chain([(true, 100), (false, 200)]));
        assert_eq!(lengths, (2..=64).chain([100]).collect::<Vec<_>>());
        assert_eq!(dropped, 2);
        let configuration = (1..=64).map(|length| (true, length));
        let (lengths, _) = held(configuration.chain([(false, 200), (true, 100)]));
        assert_eq!(lengths, (2..=64).chain([100]).collect::<Vec<_>>());
    }
}
