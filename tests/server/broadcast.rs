//! A publisher who goes on whether anybody listens or not.

use std::{
    fmt,
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use super::clip::Clip;

/// A clip that is published once, from when the first player comes. Later ones join where it is then.
pub struct Broadcast {
    pub clip: Clip,
    /// How many times as fast as time goes by.
    pub speed: f64,
    /// Whether a player gets everything since the last keyframe first, as servers with a cache do.
    pub has_cache: bool,
    /// What the timestamps count from.
    pub clock: PublisherClock,
    start: OnceLock<Instant>,
    sent: Mutex<Vec<SentFrame>>,
}

/// What the timestamps of a broadcast count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherClock {
    /// The beginning of the clip, where it shows so much.
    From(u32),
    /// Each player's first frame.
    PerPlayer,
}

/// A frame or a configuration on its way to a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentFrame {
    /// The number of the connection, from 0: ports are used again.
    pub connection: usize,
    /// How many bytes of the connection there are with it, S0 the first.
    pub end: u64,
    pub kind: u8,
    /// Its place in the clip.
    pub at_ms: u32,
    pub is_sequence_header: bool,
}

impl Broadcast {
    pub fn new(clip: Clip, speed: f64, has_cache: bool) -> Self {
        Self {
            clip,
            speed,
            has_cache,
            clock: PublisherClock::From(0),
            start: OnceLock::new(),
            sent: Mutex::default(),
        }
    }

    /// The same on another clock.
    pub fn on_clock(mut self, clock: PublisherClock) -> Self {
        self.clock = clock;
        self
    }

    /// When it began: now, for the first who asks.
    pub fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Where it is, in milliseconds.
    pub fn position_ms(&self) -> u32 {
        let elapsed: Duration = self.start().elapsed();
        (elapsed.as_secs_f64() * 1000.0 * self.speed) as u32
    }

    /// All that was sent to anybody, in order.
    pub fn sent(&self) -> Vec<SentFrame> {
        self.sent.lock().expect("nobody panics with it").clone()
    }

    pub(super) fn record_frame(&self, sent: SentFrame) {
        self.sent.lock().expect("nobody panics with it").push(sent);
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast({} times as fast)", self.speed)
    }
}
