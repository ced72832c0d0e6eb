//! The `rtmpull` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rtmpull::cli::main()
}
