//! Numbers of messages and of user control events.

use crate::core::rtmp::message::{Kind, UserControl};

/// Number of messages by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageCounts {
    counts: [u64; Self::TYPES],
    other: u64,
}

impl MessageCounts {
    const TYPES: usize = 23;

    /// Returns the number of messages of this type. All types after 22 are counted together.
    pub fn of(&self, kind: Kind) -> u64 {
        let count = self.counts.get(usize::from(kind.0));
        count.copied().unwrap_or(self.other)
    }

    /// Returns the types that arrived, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        let kinds = (0..).map(Kind).zip(self.counts);
        kinds.filter(|(_, count)| *count > 0)
    }

    /// Returns the number of messages of unknown types.
    pub fn unknown(&self) -> u64 {
        let unknown = self.iter().filter(|(kind, _)| !kind.is_known());
        let counts = unknown.map(|(_, count)| count);
        counts.fold(self.other, u64::saturating_add)
    }

    pub(super) fn add(&mut self, kind: Kind) {
        let count = self.counts.get_mut(usize::from(kind.0));
        let count = count.unwrap_or(&mut self.other);
        *count = count.saturating_add(1);
    }
}

/// Number of user control events (RTMP 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlFacts {
    /// Stream Begin.
    pub stream_begin: u32,
    /// Stream EOF.
    pub stream_eof: u32,
    /// Stream Dry.
    pub stream_dry: u32,
    /// Stream Is Recorded.
    pub stream_is_recorded: u32,
    /// Ping Request, which the client answers.
    pub ping_request: u32,
    /// Buffer Empty.
    pub buffer_empty: u32,
    /// Buffer Ready.
    pub buffer_ready: u32,
    /// SWF verification request.
    pub swf_verification_request: u32,
    /// Other events.
    pub other: u32,
}

impl ControlFacts {
    pub(super) fn add(&mut self, event: UserControl) {
        let count = match event {
            UserControl::StreamBegin(_) => &mut self.stream_begin,
            UserControl::StreamEof(_) => &mut self.stream_eof,
            UserControl::StreamDry(_) => &mut self.stream_dry,
            UserControl::StreamIsRecorded(_) => &mut self.stream_is_recorded,
            UserControl::PingRequest(_) => &mut self.ping_request,
            UserControl::BufferEmpty(_) => &mut self.buffer_empty,
            UserControl::BufferReady(_) => &mut self.buffer_ready,
            UserControl::SwfVerificationRequest(_) => &mut self.swf_verification_request,
            UserControl::SetBufferLength { .. }
            | UserControl::PingResponse(_)
            | UserControl::SwfVerificationResponse(_)
            | UserControl::Other { .. } => &mut self.other,
        };
        *count = count.saturating_add(1);
    }
}
