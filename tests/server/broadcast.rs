//! Publisher that continues independently of its players.

use std::{
    fmt,
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use super::clip::Clip;

/// Clip published once, from the time the first player connects. Later players join at the current
/// position.
pub struct Broadcast {
    pub clip: Clip,
    /// Playback speed relative to real time.
    pub speed: f64,
    /// Whether a new player first receives everything since the last keyframe, as from a server
    /// with a GOP cache.
    pub has_cache: bool,
    /// Origin of the timestamps.
    pub clock: PublisherClock,
    start: OnceLock<Instant>,
    sent: Mutex<Vec<SentFrame>>,
}

/// Origin of the timestamps of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherClock {
    /// The start of the clip has this timestamp, in milliseconds.
    From(u32),
    /// The first frame of each player has timestamp 0.
    PerPlayer,
}

/// Record of one frame or sequence header sent to a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentFrame {
    /// Number of the connection, starting at 0. Ports are reused and do not identify a connection.
    pub connection: usize,
    /// Bytes sent on the connection up to the end of this frame, counted from S0.
    pub end: u64,
    pub kind: u8,
    /// Time in the clip, in milliseconds.
    pub at_ms: u32,
    pub is_sequence_header: bool,
    /// Time at which the server started to send the frame.
    pub sent_at: Instant,
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

    /// Returns the broadcast with another clock.
    pub fn on_clock(mut self, clock: PublisherClock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the start of the broadcast, which is the time of the first call.
    pub fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Returns the current position in the clip, in milliseconds.
    pub fn position_ms(&self) -> u32 {
        let elapsed: Duration = self.start().elapsed();
        (elapsed.as_secs_f64() * 1000.0 * self.speed) as u32
    }

    /// Returns all frames sent to any player, in sending order.
    pub fn sent(&self) -> Vec<SentFrame> {
        self.sent.lock().expect("the lock is not poisoned").clone()
    }

    pub(super) fn record_frame(&self, sent: SentFrame) {
        self.sent
            .lock()
            .expect("the lock is not poisoned")
            .push(sent);
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast({} times as fast)", self.speed)
    }
}
