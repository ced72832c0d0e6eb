//! Options for monitoring.

use clap::Args;

use crate::cli::metrics::MetricsAddress;

/// Options for monitoring.
#[derive(Debug, Clone, Default, Args)]
pub struct MetricsArgs {
    /// Serve metrics, health checks and a status page over HTTP, such as :9187 or unix:/run/rtmpull.sock
    ///
    /// The pages are /metrics for Prometheus, /healthz and /readyz for health checks, and / for people. Without an
    /// address, as in :9187, only programs on this computer can connect. There is no login and no encryption, so
    /// use an address such as 0.0.0.0:9187 only in a trusted network. Port 0 chooses a free port, which is
    /// printed.
    #[arg(
        long,
        value_name = "ADDRESS",
        help_heading = "Scripting",
        allow_hyphen_values = true
    )]
    pub metrics: Option<MetricsAddress>,
}
