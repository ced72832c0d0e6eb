//! What is being waited for, and until when.

use std::time::{Duration, Instant};

/// Something that the session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The server's handshake.
    Handshake,
    /// The answer to `connect`.
    Connect,
    /// The answer to a `createStream` that went out before its time, before it is asked again.
    CreateStreamAgain,
    /// The answer to `createStream`.
    CreateStream,
    /// The first media message.
    FirstMedia,
    /// The next media message.
    Silence,
    /// A word that confirms a Stream EOF.
    EndOfStream,
    /// The server's word that it has paused.
    Pause,
    /// Another publisher, or the same again.
    Republish,
}

impl Timeout {
    const ALL: [Self; 9] = [
        Self::Handshake,
        Self::Connect,
        Self::CreateStreamAgain,
        Self::CreateStream,
        Self::FirstMedia,
        Self::Silence,
        Self::EndOfStream,
        Self::Pause,
        Self::Republish,
    ];
}

/// A deadline for each [`Timeout`] that is on, in the order of [`Timeout::ALL`], which is that of the
/// variants.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    at: [Option<Instant>; Timeout::ALL.len()],
}

impl Deadlines {
    /// Waits from `now` on, for ever where there is no bound.
    pub(super) fn start(&mut self, wait: Timeout, now: Instant, bound: Option<Duration>) {
        self.set(wait, bound.and_then(|bound| now.checked_add(bound)));
    }

    /// Waits no longer.
    pub(super) fn stop(&mut self, wait: Timeout) {
        self.set(wait, None);
    }

    /// Waits for nothing any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether this is waited for, with a bound.
    pub(super) fn is_running(&self, wait: Timeout) -> bool {
        self.at.get(wait as usize).is_some_and(Option::is_some)
    }

    /// The first deadline to come.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }

    /// Takes one wait whose deadline has come.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Timeout> {
        let (wait, at) = Timeout::ALL
            .into_iter()
            .zip(&mut self.at)
            .find(|(_, at)| at.is_some_and(|at| at <= now))?;
        *at = None;
        Some(wait)
    }

    fn set(&mut self, wait: Timeout, at: Option<Instant>) {
        if let Some(slot) = self.at.get_mut(wait as usize) {
            *slot = at;
        }
    }
}
