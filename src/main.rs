//! The `rtmpull` program: parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    rtmpull::cli::main()
}
