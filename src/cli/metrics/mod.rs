//! HTTP server for monitoring (`--metrics`): Prometheus metrics, health checks and a status page.
//!
//! The server has a thread of its own. It reads the status of the streams and changes nothing, so that a slow or
//! hostile client cannot affect a download.

mod address;
mod disks;
mod exposition;
mod page;
mod process;
mod response;
mod server;
mod single;

use std::{io, sync::Arc, thread};

use anyhow::{Context, Result};
use tokio::runtime;

pub use self::address::MetricsAddress;
pub(super) use self::single::Monitor;
use self::{disks::Disks, exposition::Exposition, response::Site, server::Listener};
use super::{report::status::Registry, terminal::screen::Screen};

/// The server. It answers until the process ends.
#[derive(Debug)]
pub struct MetricsServer {
    address: MetricsAddress,
}

impl MetricsServer {
    /// Listens on `address`, and answers with the status of the streams in `registry`.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use or not permitted, or if the thread cannot be started.
    pub fn start(address: &MetricsAddress, registry: &Arc<Registry>) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime of --metrics")?;
        let (listener, address) = {
            let _entered = runtime.enter();
            Listener::bind(address).with_context(|| format!("cannot listen on {address}"))?
        };
        let disks = Arc::new(Disks::default());
        let exposition = Exposition::new(Arc::clone(registry), Arc::clone(&disks));
        let site = Arc::new(Site::new(Arc::clone(registry), exposition, &address));
        start_thread("disk-space", {
            let registry = Arc::clone(registry);
            move || disks.keep_measuring(&registry)
        })?;
        start_thread("metrics", move || {
            runtime.block_on(listener.serve(site));
        })?;
        Ok(Self { address })
    }

    /// Address that the server listens on, with the port that was chosen for port 0.
    pub fn address(&self) -> &MetricsAddress {
        &self.address
    }

    /// Prints the address, with the port that was chosen for port 0.
    pub fn announce(&self, screen: &Screen) {
        screen.line(&format!("INFO: metrics and status: {}", self.address));
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.address.remove_socket();
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = thread::Builder::new().name(name.to_owned());
    let started: io::Result<_> = builder.spawn(work);
    started.context("cannot start a thread of --metrics")?;
    Ok(())
}
