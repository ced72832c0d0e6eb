//! Notifications to systemd, or to another service manager with the same protocol.

use std::{
    env,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use indicatif::HumanBytes;
use sd_notify::NotifyState;

use super::{
    listeners::Listener,
    text::{reason_suffix, retry_text},
    worker::{ProgressTimer, Worker},
};
use crate::{
    cli::terminal::{sanitize::escaped, screen::Screen, time_format::hms},
    download::{Outcome, Progress, Report, Retry},
    transport::Endpoint,
};

/// Notifies the service manager when media first arrives, of the progress, and that the download is alive.
#[derive(Debug)]
pub struct SystemdNotifier {
    /// Removes secrets from messages.
    screen: Arc<Screen>,
    worker: Worker<Message>,
    /// Half of the watchdog timeout; zero without a watchdog.
    interval: Duration,
    /// Time until which the download counts as alive without further media.
    alive_until: Arc<Mutex<Option<Instant>>>,
    is_ready: bool,
    media_timer: ProgressTimer,
    status_timer: ProgressTimer,
}

#[derive(Debug)]
enum Message {
    Ready,
    Status(String),
    Stopping,
}

impl SystemdNotifier {
    /// Starts notifying the service manager, if the environment names one.
    pub fn start(screen: Arc<Screen>) -> Option<Self> {
        env::var_os(SOCKET).filter(|socket| !socket.is_empty())?;
        let watchdog = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
        let interval = watchdog.map(|limit| (limit / 2).max(MIN_INTERVAL));
        let alive_until = Arc::new(Mutex::new(None));
        let alive = Arc::clone(&alive_until);
        let deliver = move |messages: &Receiver<_>| deliver_all(messages, interval, &alive);
        Some(Self {
            screen,
            worker: Worker::start("systemd", QUEUE_LENGTH, deliver).ok()?,
            interval: interval.unwrap_or_default(),
            alive_until,
            is_ready: false,
            media_timer: ProgressTimer::new(Duration::ZERO),
            status_timer: ProgressTimer::new(STATUS_INTERVAL),
        })
    }

    fn status(&self, text: &str) {
        // A line break would start another message.
        let text = escaped(&self.screen.redacted(text));
        self.worker.send(Message::Status(text));
    }

    fn set_alive_for(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        let alive_until = self.alive_until.lock();
        *alive_until.unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Listener for SystemdNotifier {
    fn finished(&mut self, outcome: &Outcome) {
        let reason = reason_suffix(&outcome.reason);
        self.status(&format!("{}{reason}", outcome.ending));
        self.worker.send(Message::Stopping);
        self.worker.finish(DELIVERY_TIMEOUT);
    }
}

impl Report for SystemdNotifier {
    fn connecting(&mut self, endpoint: &Endpoint) {
        self.set_alive_for(ATTEMPT_TIME);
        self.status(&format!("Connecting to {endpoint}"));
    }

    fn retry(&mut self, retry: &Retry) {
        self.set_alive_for(retry.wait.saturating_add(self.interval));
        self.status_timer.restart();
        self.status(&retry_text(retry));
    }

    fn progress(&mut self, progress: &Progress) {
        let now = Instant::now();
        if self.media_timer.is_due(progress, now) {
            self.set_alive_for(self.interval);
            self.is_ready = self.is_ready || self.worker.send(Message::Ready);
        }
        if self.status_timer.is_due(progress, now) {
            let (at, bytes) = (hms(progress.position_ms), HumanBytes(progress.bytes));
            self.status(&format!("Recording, {at}, {bytes}"));
        }
    }
}

/// Delivers the messages, and in between a watchdog notification per interval while the download is alive.
fn deliver_all(
    messages: &Receiver<Message>,
    interval: Option<Duration>,
    alive_until: &Mutex<Option<Instant>>,
) {
    let mut next = Instant::now();
    loop {
        let wait = next.saturating_duration_since(Instant::now());
        let message = match interval {
            Some(_) => messages.recv_timeout(wait),
            None => messages.recv().map_err(RecvTimeoutError::from),
        };
        match message {
            Ok(message) => notify(&message),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let until = *alive_until.lock().unwrap_or_else(PoisonError::into_inner);
                if until > Some(Instant::now()) {
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                }
                next = Instant::now() + interval.unwrap_or_default();
            }
        }
    }
}

/// Sends one message. A failure is only logged, since the download does not depend on the manager.
fn notify(message: &Message) {
    let sent = sd_notify::notify(&[match message {
        Message::Ready => NotifyState::Ready,
        Message::Status(text) => NotifyState::Status(text),
        Message::Stopping => NotifyState::Stopping,
    }]);
    if let Err(error) = sent {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}

/// Variable with the address of the service manager.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Minimum time between two progress messages.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Time for an attempt up to its first media: more than the timeouts of the session need to end it.
const ATTEMPT_TIME: Duration = Duration::from_secs(90);

/// Minimum time between two watchdog notifications, however short the watchdog timeout is.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Messages that may wait for the service manager.
const QUEUE_LENGTH: usize = 32;

/// Time for the last messages to be delivered.
const DELIVERY_TIMEOUT: Duration = Duration::from_millis(200);
