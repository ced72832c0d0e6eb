//! Signals that end the download.

use std::{io, process, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::{exit_code::Exit, terminal::screen::Screen};

/// Sends `true` to `stop` at the first INT, TERM or HUP, and exits the process at the second one. The
/// signals are received on a separate thread, so the second one works even if the download hangs.
///
/// # Errors
///
/// Fails if the signal handlers or the thread cannot be installed.
pub fn watch(stop: watch::Sender<bool>, screen: Arc<Screen>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = Signals::new(&runtime)?;
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

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new(runtime: &Runtime) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let _context = runtime.enter();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // nohup ignores SIGHUP so that the process survives it.
            hang_up: if is_hang_up_ignored() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// Waits for the next signal and returns its number.
    async fn next(&mut self) -> i32 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            _ = hang_up => 1,
        }
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

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new(_: &Runtime) -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for Ctrl-C and returns the number of SIGINT.
    async fn next(&mut self) -> i32 {
        // An error means that Ctrl-C cannot be received.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        2
    }
}

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
