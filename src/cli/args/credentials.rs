//! Answers to servers that ask for a login or a token.

use std::path::PathBuf;

use clap::{Args, builder::ValueHint};

use super::values;

/// Answers to servers that ask for a login or a token.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authentication")]
pub struct CredentialArgs {
    /// Append this text to the connect command as authentication
    #[arg(short = 'u', long, value_name = "TEXT", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub auth: Option<String>,

    /// Answer the SecureToken challenge of the server with this key
    #[arg(short = 'T', long, value_name = "KEY", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub token: Option<String>,

    /// Send this Usher token, for the servers of Justin.tv
    #[arg(short = 'j', long, value_name = "TEXT", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub jtv: Option<String>,

    /// Log in as this user instead of the one in the URL
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = values::text())]
    pub user: Option<String>,

    /// Log in with this password; the process list shows it to other users
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        overrides_with = "password_file"
    )]
    #[arg(value_parser = values::text())]
    pub password: Option<String>,

    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    #[arg(overrides_with = "password")]
    pub password_file: Option<PathBuf>,
}
