//! What systemd, or another manager of services that takes its notifications, is told.

use std::{
    env,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::HumanBytes;
use sd_notify::NotifyState;

use super::{
    listeners::Listener,
    text::{reason_suffix, retry_text},
};
use crate::{
    cli::terminal::{sanitize::escaped, screen::Screen, time_format::hms},
    core::amf::Object,
    download::{Outcome, Progress, Report, Retry},
    output::Gap,
    transport::Endpoint,
};

/// Tells the manager once media arrives, how far it is, and that it still does. A thread of its own
/// sends it all, so that a manager that does not read delays nothing.
#[derive(Debug)]
pub struct SystemdNotifier {
    /// Knows the secrets.
    screen: Arc<Screen>,
    /// None once it is over.
    messages: Option<SyncSender<Message>>,
    thread_ends: Receiver<()>,
    /// Half of the time within which the manager wants to hear of us.
    interval: Duration,
    /// Until when no media is no trouble.
    alive_until: Arc<Mutex<Option<Instant>>>,
    seen_frames: u64,
    is_ready: bool,
    /// When progress was told last.
    last_status: Option<Instant>,
}

#[derive(Debug)]
enum Message {
    Ready,
    Status(String),
    Stopping,
}

impl SystemdNotifier {
    /// To the manager that the environment names, if it does.
    pub fn start(screen: Arc<Screen>) -> Option<Self> {
        env::var_os(SOCKET).filter(|socket| !socket.is_empty())?;
        let watchdog = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
        let interval = watchdog.map(|limit| (limit / 2).max(MIN_INTERVAL));
        let alive_until = Arc::new(Mutex::new(None));
        let (messages, received) = mpsc::sync_channel(MESSAGES);
        let (sender, thread_ends) = mpsc::sync_channel(0);
        let alive = Arc::clone(&alive_until);
        let thread = thread::Builder::new().name("service".to_owned());
        let spawned = thread.spawn(move || {
            let _until_the_end: SyncSender<()> = sender;
            send_all(&received, interval, &alive);
        });
        spawned.ok()?;
        Some(Self {
            screen,
            messages: Some(messages),
            thread_ends,
            interval: interval.unwrap_or_default(),
            alive_until,
            seen_frames: 0,
            is_ready: false,
            last_status: None,
        })
    }

    fn status(&self, text: &str) {
        // A line end would begin another message.
        let text = escaped(&self.screen.redacted(text));
        self.send(Message::Status(text));
    }

    /// Tells whether there is room for it.
    fn send(&self, message: Message) -> bool {
        let messages = self.messages.as_ref();
        messages.is_some_and(|messages| messages.try_send(message).is_ok())
    }

    fn is_alive_for(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        let alive_until = self.alive_until.lock();
        *alive_until.unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Listener for SystemdNotifier {
    fn finished(&mut self, outcome: &Outcome) {
        let reason = reason_suffix(&outcome.reason);
        self.status(&format!("{}{reason}", outcome.ending));
        self.send(Message::Stopping);
        self.messages = None;
        let _ = self.thread_ends.recv_timeout(MANAGER_PATIENCE);
    }
}

impl Report for SystemdNotifier {
    fn connecting(&mut self, endpoint: &Endpoint) {
        self.is_alive_for(ATTEMPT);
        self.status(&format!("Connecting to {endpoint}"));
    }

    fn connected(&mut self) {}

    fn metadata(&mut self, _: &Object) {}

    fn started(&mut self, _: bool) {}

    fn gap(&mut self, _: &Gap) {}

    fn retry(&mut self, retry: &Retry) {
        self.is_alive_for(retry.wait.saturating_add(self.interval));
        self.last_status = None;
        self.status(&retry_text(retry));
    }

    fn progress(&mut self, progress: &Progress) {
        if progress.frames == self.seen_frames {
            return;
        }
        self.seen_frames = progress.frames;
        self.is_alive_for(self.interval);
        self.is_ready = self.is_ready || self.send(Message::Ready);
        let is_due = self
            .last_status
            .is_none_or(|last| last.elapsed() >= STATUS_INTERVAL);
        if is_due {
            self.last_status = Some(Instant::now());
            let (at, bytes) = (hms(progress.position_ms), HumanBytes(progress.bytes));
            self.status(&format!("Recording, {at}, {bytes}"));
        }
    }
}

/// Sends what is to be told, and in between that all is well as long as it is.
fn send_all(
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

/// A manager that does not listen is no reason to stop.
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

/// Where the manager listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How much time is between two statuses of progress.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How long an attempt may take up to its first media: longer than our own timers need to end it.
const ATTEMPT: Duration = Duration::from_secs(90);

/// How often the manager is told that all is well at the most, whatever it wants.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// What waits for the manager at the most.
const MESSAGES: usize = 32;

/// How long the manager may take for the last messages.
const MANAGER_PATIENCE: Duration = Duration::from_millis(200);
