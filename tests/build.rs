//! Build script: sets `has_end_to_end_tests` in a checkout. Published packages contain only the entry point
//! of these tests, because they need servers and players that `peers.sh` installs.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_end_to_end_tests)");
    println!("cargo::rerun-if-changed=tests/end_to_end/main.rs");
    if Path::new("tests/end_to_end/process.rs").exists() {
        println!("cargo::rustc-cfg=has_end_to_end_tests");
    }
}
