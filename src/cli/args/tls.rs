//! Options for certificates.

use std::path::PathBuf;

use clap::{Args, builder::ValueHint};

use super::values;

/// Options for certificates.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Trust the certificates in this PEM file in addition to those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    pub ca_file: Option<PathBuf>,

    /// Trust only the certificate with this SHA-256 fingerprint, 64 hex digits
    ///
    /// Name, validity and issuer of the certificate are not checked. To print the fingerprint of a
    /// certificate, use `openssl x509 -noout -fingerprint -sha256`.
    #[arg(long, value_name = "HEX", allow_hyphen_values = true, value_parser = values::fingerprint)]
    pub tls_pin: Option<[u8; 32]>,

    /// Trust any certificate; anyone on the network path can then read and change the stream
    #[arg(long)]
    pub insecure: bool,
}
