//! Signals that end the download.

#[cfg(unix)]
use std::{future::poll_fn, task::Poll};
use std::{io, process, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::{exit_code::Exit, terminal::screen::Screen};

/// Sends `true` to `stop` at the first INT, TERM, QUIT or HUP, and exits the process at the second one. On Windows,
/// these are Ctrl-C, Ctrl-Break, the close of the console, and the shutdown of the system. The signals are received
/// on a separate thread, so the second one works even if the download hangs.
///
/// # Errors
///
/// Fails if the signal handlers or the thread cannot be installed.
pub fn watch(stop: watch::Sender<bool>, screen: Arc<Screen>) -> io::Result<()> {
    watch_signals(stop, screen, HangUp::Ends)
}

/// What SIGHUP does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// It ends the download, like the other signals.
    Ends,
    /// It is not watched here, because it has another meaning.
    Excluded,
}

/// Watches the signals as [`watch()`] does.
///
/// # Errors
///
/// Fails if the signal handlers or the thread cannot be installed.
pub fn watch_signals(
    stop: watch::Sender<bool>,
    screen: Arc<Screen>,
    hang_up: HangUp,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = Signals::new(&runtime, hang_up)?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let number = runtime.block_on(signals.next());
            screen.line(&format!(
                "Caught signal: {number}, cleaning up, just a second..."
            ));
            stop.send_replace(true);
            runtime.block_on(signals.next());
            process::exit(Exit::Incomplete as i32);
        })?;
    Ok(())
}

/// Requests to read a file again: SIGHUP. Windows has none.
#[derive(Debug)]
pub struct HangUps {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl HangUps {
    /// Starts to receive the requests. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// Fails if the signal handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

/// Signals with their numbers.
#[cfg(unix)]
struct Signals(Vec<(i32, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Signals {
    fn new(runtime: &Runtime, hang_up: HangUp) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let _context = runtime.enter();
        let mut kinds = vec![
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::quit(),
        ];
        // nohup ignores SIGHUP so that the process survives it.
        if hang_up == HangUp::Ends && !is_hang_up_ignored() {
            kinds.push(SignalKind::hangup());
        }
        let signals = kinds
            .into_iter()
            .map(|kind| Ok((kind.as_raw_value(), signal(kind)?)));
        signals.collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next signal and returns its number.
    async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Returns whether the process was started with SIGHUP ignored. Without C code, only Linux reports that.
#[cfg(unix)]
fn is_hang_up_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// Parses the mask of ignored signals, whose lowest bit is signal 1.
#[cfg(unix)]
fn ignores_hang_up(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(windows)]
struct Signals {
    ctrl_c: tokio::signal::windows::CtrlC,
    ctrl_break: tokio::signal::windows::CtrlBreak,
    console_closed: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn new(runtime: &Runtime, _: HangUp) -> io::Result<Self> {
        use tokio::signal::windows;

        let _context = runtime.enter();
        Ok(Self {
            ctrl_c: windows::ctrl_c()?,
            ctrl_break: windows::ctrl_break()?,
            console_closed: windows::ctrl_close()?,
            shutdown: windows::ctrl_shutdown()?,
        })
    }

    /// Waits for the next event of the console and returns the number of the signal that corresponds to it.
    ///
    /// Windows ends the process five seconds after the console was closed, and some time after the start of a
    /// shutdown. The download must finish the file within this time.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.ctrl_c.recv() => SIGINT,
            _ = self.ctrl_break.recv() => SIGBREAK,
            _ = self.console_closed.recv() => SIGTERM,
            _ = self.shutdown.recv() => SIGTERM,
        }
    }
}

// Numbers of signals in the C library of Windows.
#[cfg(windows)]
const SIGINT: i32 = 2;
#[cfg(windows)]
const SIGTERM: i32 = 15;
#[cfg(windows)]
const SIGBREAK: i32 = 21;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert!(ignores_hang_up("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hang_up(
            "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"
        ));
        assert!(!ignores_hang_up("SigIgn:\tnonsense\n"));
        assert!(!ignores_hang_up(""));
    }
}
