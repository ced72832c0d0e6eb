//! Monitoring of a process with a single download.

use std::sync::Arc;

use anyhow::Result;

use super::{MetricsAddress, MetricsServer};
use crate::{
    cli::{
        report::{
            Listeners,
            status::{MainLoop, Registry},
        },
        terminal::screen::Screen,
    },
    output::Destination,
};
/// Monitoring of a single download.
#[derive(Debug)]
pub(in crate::cli) struct Monitor {
    server: MetricsServer,
    main_loop: MainLoop,
}

impl Monitor {
    /// Starts the server, adds the download to `listeners`, and prints the address.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be started.
    pub(in crate::cli) fn start(
        address: &MetricsAddress,
        screen: &Arc<Screen>,
        output: &Destination,
        listeners: &mut Listeners,
    ) -> Result<Self> {
        let registry = Registry::new(Arc::clone(screen));
        listeners.push(registry.open(&name(output)));
        registry.complete();
        let main_loop = registry.liveness().add("download");
        let server = MetricsServer::start(address, &registry)?;
        server.announce(screen);
        Ok(Self { server, main_loop })
    }

    /// Runs `download`, and shows meanwhile that its main loop turns. Then removes the server.
    pub(in crate::cli) async fn watch<T>(self, download: impl Future<Output = T>) -> T {
        let result = tokio::select! {
            result = download => result,
            never = self.main_loop.keep_beating() => match never {},
        };
        drop(self.server);
        result
    }
}

/// Returns the name of the output without folder and extension. The URL may contain secrets.
fn name(output: &Destination) -> String {
    let stem = match output {
        Destination::Path(path) => path.file_stem(),
        Destination::Stdout | Destination::Template(_) | Destination::Discard => None,
    };
    stem.map_or_else(
        || DEFAULT_NAME.to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

/// Name of a stream whose output has no constant name.
const DEFAULT_NAME: &str = "stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_after_its_file() {
        let path = |path: &str| Destination::Path(path.into());
        for (output, expected) in [
            (path("/srv/lobby.flv"), "lobby"),
            (path("lobby.day.mp4"), "lobby.day"),
            (Destination::Stdout, "stream"),
        ] {
            assert_eq!(name(&output), expected);
        }
    }
}
