//! Reports about the complete process: the heartbeat file and the service manager.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::totals::Totals;
#[cfg(unix)]
use crate::cli::{
    report::systemd::SystemdNotifier,
    terminal::{screen::Screen, units::size},
};
use crate::{
    cli::{Displays, args::Args, report::heartbeat::Heartbeat},
    download::Report,
};

/// Reports to the heartbeat file and the service manager. They cover the process, so a silent stream does not
/// stop the watchdog messages.
#[derive(Debug)]
pub(super) struct ProcessReport {
    totals: Arc<Totals>,
    heartbeat: Option<Heartbeat>,
    #[cfg(unix)]
    service: Option<SystemdNotifier>,
}

impl ProcessReport {
    /// Starts the reports that `args` and the environment request.
    ///
    /// # Errors
    ///
    /// Fails if the heartbeat file cannot be written.
    pub(super) fn start(args: &Args, displays: &Displays, totals: Arc<Totals>) -> Result<Self> {
        let heartbeat = args.heartbeat.as_deref().map(Heartbeat::start);
        #[cfg(not(unix))]
        let _ = displays;
        Ok(Self {
            totals,
            heartbeat: heartbeat.transpose().context("--heartbeat")?,
            #[cfg(unix)]
            service: SystemdNotifier::start(Arc::<Screen>::clone(&displays.screen)),
        })
    }

    /// Reports the state of the process. Call it about once per second. `is_alive` is whether the process works.
    pub(super) fn tick(&mut self, is_alive: bool, streams: usize) {
        let progress = self.totals.progress();
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.progress(&progress);
        }
        #[cfg(unix)]
        if let Some(service) = self.service.as_mut().filter(|_| is_alive) {
            let bytes = size(progress.bytes);
            service.supervising(&format!("Recording {}, {bytes}", super::count(streams)));
        }
        #[cfg(not(unix))]
        let _ = (is_alive, streams);
    }

    /// Reports that the process ends.
    pub(super) fn finish(mut self, ending: &str) {
        self.tick(true, 0);
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.finish();
        }
        #[cfg(unix)]
        if let Some(service) = &mut self.service {
            service.stopping(ending);
        }
        #[cfg(not(unix))]
        let _ = ending;
    }
}
