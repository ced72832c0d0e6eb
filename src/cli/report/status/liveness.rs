//! Whether the main loops of the process turn.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The main loops of the process: one per thread that runs downloads.
#[derive(Debug)]
pub struct Liveness {
    started: Instant,
    loops: Mutex<Vec<Arc<Beat>>>,
}

/// A main loop, which counts as stuck unless [`MainLoop::beat`] is called regularly. It is removed when it is
/// dropped.
#[derive(Debug)]
pub struct MainLoop {
    started: Instant,
    beat: Arc<Beat>,
}

#[derive(Debug)]
struct Beat {
    name: String,
    /// Time of the latest turn, in milliseconds since the start of the process.
    at_ms: AtomicU64,
}

/// Time since the latest turn of a main loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopAge {
    /// Name of the loop.
    pub name: String,
    /// Time since its latest turn.
    pub age: Duration,
}

impl LoopAge {
    /// Whether the loop has not turned for too long.
    pub fn is_stuck(&self) -> bool {
        self.age >= STUCK
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            loops: Mutex::default(),
        }
    }
}

impl Liveness {
    /// Adds a loop. `name` must not contain secrets, for example `download` or a folder.
    pub fn add(&self, name: &str) -> MainLoop {
        let beat = Arc::new(Beat {
            name: name.to_owned(),
            at_ms: AtomicU64::new(0),
        });
        let main_loop = MainLoop {
            started: self.started,
            beat: Arc::clone(&beat),
        };
        main_loop.beat(Instant::now());
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.push(beat);
        main_loop
    }

    /// Returns the time since the latest turn of each loop.
    pub fn ages(&self, now: Instant) -> Vec<LoopAge> {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        // The loop that beats holds the other reference.
        loops.retain(|beat| Arc::strong_count(beat) > 1);
        let now_ms = ms_between(self.started, now);
        let ages = loops.iter().map(|beat| LoopAge {
            name: beat.name.clone(),
            age: Duration::from_millis(now_ms.saturating_sub(beat.at_ms.load(Ordering::Relaxed))),
        });
        ages.collect()
    }

    /// Whether the process works: at least one loop turns, or there is none.
    ///
    /// A hanging disk stops the loop of its streams. A restart of the process would not help, and would interrupt
    /// the streams on the other disks.
    pub fn is_alive(&self, now: Instant) -> bool {
        let ages = self.ages(now);
        ages.is_empty() || ages.iter().any(|age| !age.is_stuck())
    }
}

impl MainLoop {
    /// Notes that the loop turns.
    pub fn beat(&self, now: Instant) {
        let now_ms = ms_between(self.started, now);
        self.beat.at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Beats every second while the runtime of the loop polls this future. Never returns.
    pub async fn keep_beating(self) -> std::convert::Infallible {
        loop {
            self.beat(Instant::now());
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

impl fmt::Display for LoopAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.1} s", self.name, self.age.as_secs_f64())
    }
}

fn ms_between(start: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(start);
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Time between two beats.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time without a turn after which a loop counts as stuck. A slow disk delays a turn by seconds.
const STUCK: Duration = Duration::from_secs(30);
