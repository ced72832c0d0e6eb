//! Options for monitoring.

use clap::Args;

use crate::cli::metrics::MetricsAddress;

/// Options for monitoring.
#[derive(Debug, Clone, Default, Args)]
pub struct MetricsArgs {
    /// Serve metrics, health checks and a status page over HTTP, such as at :9187
    ///
    /// The pages are /metrics for Prometheus, /healthz and /readyz for health checks, and / for people. ADDRESS is
    /// ADDRESS:PORT, :PORT, or unix:PATH for a Unix socket. With :9187, only programs on this computer can connect.
    /// The server has no login and no encryption, so use an address such as 0.0.0.0:9187 only in a trusted network.
    /// Port 0 selects a free port, which rtmpull prints.
    #[arg(
        long,
        value_name = "ADDRESS",
        help_heading = "Scripting",
        allow_hyphen_values = true
    )]
    pub metrics: Option<MetricsAddress>,
}
