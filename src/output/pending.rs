//! Messages before the first frame.

use super::Format;
use crate::core::{flv::FrameInfo, payload::Payload};

/// Sequence headers and script data, in order of arrival, that wait for the first frame of a segment.
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
    /// Holds a message if it fits. Payloads that are not held are added to `dropped`.
    ///
    /// A sequence header displaces the oldest script data, then the oldest sequence header: a decoder
    /// needs the header, and only the latest one of a track counts. Script data displaces nothing.
    pub(super) fn hold(&mut self, info: FrameInfo, payload: Payload, dropped: &mut Vec<Payload>) {
        let length = payload.capacity();
        if payload.is_empty() {
            return dropped.push(payload);
        }
        if info.is_sequence_header && length <= MAX_BYTES {
            while !self.fits(length) {
                dropped.push(self.remove_oldest());
            }
        }
        let has_space =
            self.fits(length) && (info.is_sequence_header || self.scripts() < MAX_SCRIPTS);
        if !has_space {
            tracing::debug!("dropped a message before the first frame: {}", info.track);
            return dropped.push(payload);
        }
        self.bytes = self.bytes.saturating_add(length);
        self.messages.push(Message { info, payload });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Removes and returns all messages.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (FrameInfo, Payload)> + use<> {
        let Self { messages, .. } = std::mem::take(self);
        messages
            .into_iter()
            .map(|message| (message.info, message.payload))
    }

    /// Size of all messages in the container.
    pub(super) fn bytes_in(&self, format: Format) -> u64 {
        let payloads = self.messages.iter().map(|message| message.payload.len());
        payloads.map(|length| format.message_bytes(length)).sum()
    }

    /// Number of messages other than sequence headers.
    fn scripts(&self) -> usize {
        let scripts = self.messages.iter();
        scripts
            .filter(|message| !message.info.is_sequence_header)
            .count()
    }

    fn fits(&self, length: usize) -> bool {
        self.messages.len() < MAX_MESSAGES && length <= MAX_BYTES.saturating_sub(self.bytes)
    }

    fn remove_oldest(&mut self) -> Payload {
        let mut messages = self.messages.iter();
        let oldest = messages.position(|message| !message.info.is_sequence_header);
        let Message { info, payload } = self.messages.remove(oldest.unwrap_or(0));
        tracing::debug!("displaced a message before the first frame: {}", info.track);
        self.bytes = self.bytes.saturating_sub(payload.capacity());
        payload
    }
}

/// Number of messages other than sequence headers. A server may send cue points or captions for minutes
/// before its first frame.
const MAX_SCRIPTS: usize = 64;

/// Number of all messages: sequence headers of 256 audio and 256 video tracks, and as many again.
const MAX_MESSAGES: usize = 1024;

/// Memory of all messages. Sequence headers and script data have a few hundred bytes each.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the messages that are held, and the number of dropped ones. Each message is a sequence
    /// header or script data of a length.
    fn held(messages: impl IntoIterator<Item = (bool, usize)>) -> (Vec<usize>, usize) {
        let (mut pending, mut dropped) = (Pending::default(), Vec::new());
        for (is_sequence_header, length) in messages {
            let payload = Payload::from(&vec![7; length][..]);
            let info = FrameInfo {
                is_sequence_header,
                ..FrameInfo::SCRIPT
            };
            pending.hold(info, payload, &mut dropped);
        }
        let held = pending.take().map(|(_, payload)| payload.len()).collect();
        assert!(pending.messages.is_empty() && pending.bytes == 0);
        (held, dropped.len())
    }

    #[test]
    fn order_is_kept() {
        let messages = [(false, 10), (true, 20), (false, 30), (true, 40)];
        assert_eq!(held(messages), (vec![10, 20, 30, 40], 0));
    }

    #[test]
    fn number_and_bytes_are_limited() {
        let (lengths, dropped) = held((1..=70).map(|length| (false, length)));
        assert_eq!((lengths, dropped), ((1..=64).collect(), 6));
        let large = [600_000, 300_000, 200_000, 100_000];
        let messages = large.map(|length| (false, length));
        assert_eq!(held(messages), (vec![600_000, 300_000, 100_000], 1));
        assert_eq!(held([(true, MAX_BYTES + 1)]), (vec![], 1));
    }

    #[test]
    fn sequence_headers_displace_script_data_but_not_vice_versa() {
        let script = (1..=64).map(|length| (false, length));
        let (lengths, dropped) = held(script.chain([(true, 100), (false, 200)]));
        assert_eq!(lengths, (1..=64).chain([100]).collect::<Vec<_>>());
        assert_eq!(dropped, 1);
        let large = [(false, 500_000), (true, 500_000), (true, 500_000)];
        assert_eq!(held(large), (vec![500_000, 500_000], 1));
        let headers = (1..=MAX_MESSAGES).map(|length| (true, length));
        let (lengths, _) = held(headers.chain([(false, 200), (true, 100)]));
        assert_eq!(lengths, (2..=MAX_MESSAGES).chain([100]).collect::<Vec<_>>());
    }

    #[test]
    fn sequence_headers_of_all_tracks_fit() {
        let (lengths, dropped) = held((0..512).map(|_| (true, 100)));
        assert_eq!((lengths.len(), dropped), (512, 0));
    }
}
