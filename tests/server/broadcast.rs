//! A publisher who goes on whether anybody listens or not.

use std::{
    fmt,
    sync::OnceLock,
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
    began: OnceLock<Instant>,
}

impl Broadcast {
    pub fn new(clip: Clip, speed: f64, has_cache: bool) -> Self {
        Self {
            clip,
            speed,
            has_cache,
            began: OnceLock::new(),
        }
    }

    /// When it began: now, for the first who asks.
    pub fn began(&self) -> Instant {
        *self.began.get_or_init(Instant::now)
    }

    /// Where it is, in milliseconds.
    pub fn position_ms(&self) -> u32 {
        let elapsed: Duration = self.began().elapsed();
        (elapsed.as_secs_f64() * 1000.0 * self.speed) as u32
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast({} times as fast)", self.speed)
    }
}
