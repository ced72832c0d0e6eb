//! Notifications to systemd, or to another service manager with the same protocol.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{
    listeners::Listener,
    text::{reason_suffix, retry_text},
    worker::{ProgressTimer, Worker},
};
use crate::{
    cli::terminal::{sanitize::escaped, screen::Screen, time_format::hms, units::size},
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
    /// Time of the next status of a process that supervises several downloads.
    next_status: Option<Instant>,
}

/// Message to the service manager.
#[derive(Debug)]
enum Message {
    Ready,
    Status(String),
    Watchdog,
    Stopping,
}

/// Socket of the service manager, with the protocol of sd_notify(3).
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl SystemdNotifier {
    /// Starts notifying the service manager, if the environment names one.
    pub fn start(screen: Arc<Screen>) -> Option<Self> {
        let address = env::var_os(SOCKET).filter(|address| !address.is_empty())?;
        let manager = Manager::at(&address)
            .inspect_err(|error| tracing::warn!("cannot use NOTIFY_SOCKET: {error}"));
        let manager = manager.ok()?;
        let interval = watchdog_timeout().map(|timeout| (timeout / 2).max(MIN_INTERVAL));
        let alive_until = Arc::new(Mutex::new(None));
        let alive = Arc::clone(&alive_until);
        let deliver = move |messages: &Receiver<_>| {
            deliver_all(messages, &manager, interval, &alive);
        };
        Some(Self {
            screen,
            worker: Worker::start("systemd", QUEUE_LENGTH, deliver).ok()?,
            interval: interval.unwrap_or_default(),
            alive_until,
            is_ready: false,
            media_timer: ProgressTimer::new(Duration::ZERO),
            status_timer: ProgressTimer::new(STATUS_INTERVAL),
            next_status: None,
        })
    }

    /// Notifies the manager that the process works and supervises several downloads. Call it about once per
    /// second.
    pub fn supervising(&mut self, status: &str) {
        self.set_alive_for(self.interval.max(SUPERVISION_TIME));
        self.is_ready = self.is_ready || self.worker.send(Message::Ready);
        let now = Instant::now();
        if self.next_status.is_none_or(|next| next <= now) {
            self.next_status = now.checked_add(STATUS_INTERVAL);
            self.status(status);
        }
    }

    /// Notifies the manager that the process ends.
    pub fn stopping(&mut self, status: &str) {
        self.status(status);
        self.worker.send(Message::Stopping);
        self.worker.finish(DELIVERY_TIMEOUT);
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
        self.stopping(&format!("{}{reason}", outcome.ending));
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
            let (at, bytes) = (hms(progress.position_ms), size(progress.bytes));
            self.status(&format!("Recording, {at}, {bytes}"));
        }
    }
}

/// Delivers the messages, and in between a watchdog notification per interval while the download is alive.
fn deliver_all(
    messages: &Receiver<Message>,
    manager: &Manager,
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
            Ok(message) => manager.notify(&message),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let until = *alive_until.lock().unwrap_or_else(PoisonError::into_inner);
                if until > Some(Instant::now()) {
                    manager.notify(&Message::Watchdog);
                }
                next = Instant::now() + interval.unwrap_or_default();
            }
        }
    }
}

impl Manager {
    /// Returns the manager at an address from the environment: a path, or `@` and an abstract name.
    fn at(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_encoded_bytes() {
            [b'@', name @ ..] => abstract_address(name)?,
            _ => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        Ok(Self { socket, address })
    }

    /// Sends one message. A failure is only logged, since the download does not depend on the manager.
    fn notify(&self, message: &Message) {
        let text = match message {
            Message::Ready => "READY=1\n",
            Message::Status(text) => &format!("STATUS={text}\n"),
            Message::Watchdog => "WATCHDOG=1\n",
            Message::Stopping => "STOPPING=1\n",
        };
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.address) {
            tracing::debug!("cannot notify the service manager: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns the time within which the manager expects a watchdog notification from this process.
fn watchdog_timeout() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    let timeout = number("WATCHDOG_USEC").filter(|_| is_meant)?;
    Some(Duration::from_micros(timeout)).filter(|timeout| !timeout.is_zero())
}

/// Variable with the address of the service manager.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Minimum time between two progress messages.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Time for an attempt up to its first media: more than the timeouts of the session need to end it.
const ATTEMPT_TIME: Duration = Duration::from_secs(90);

/// Time for which a supervising process counts as alive, longer than the time between two reports.
const SUPERVISION_TIME: Duration = Duration::from_secs(3);

/// Minimum time between two watchdog notifications, however short the watchdog timeout is.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Messages that may wait for the service manager.
const QUEUE_LENGTH: usize = 32;

/// Time for the last messages to be delivered.
const DELIVERY_TIMEOUT: Duration = Duration::from_millis(200);
