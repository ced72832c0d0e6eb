//! People and scripts.

pub mod args;
pub mod exit;
pub mod job;
pub mod librtmp;
pub mod screen;
pub mod signals;
pub mod terminal;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use args::{Args, NoArgs};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match Args::read(std::env::args_os()) {
        Ok(_) => exit::Exit::Success.into(),
        Err(no_args) => {
            match &no_args {
                NoArgs::Answer(answer) => print(io::stdout(), answer),
                NoArgs::Usage(message) => {
                    print(io::stderr(), &format!("ERROR: usage: {message}\n"))
                }
            }
            no_args.exit().into()
        }
    }
}

/// Who closed the other end did not want to read it.
fn print(mut out: impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
}
