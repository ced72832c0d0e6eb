//! The static Linux program in an empty root folder: without libraries, devices, root certificates, time
//! zones and configuration of the resolver.
//!
//! `RTMPULL_STATIC_PROGRAM` names the program, for example after `cargo build --target
//! x86_64-unknown-linux-musl`.

use std::{fs, path::Path, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    downloads::assert_same_media,
    peers::foreign_program,
    process::{Finished, Process},
    program::LIMIT,
    server::{Authority, Clip, Config, Server, Stream, TlsClose, TlsFront, Validity},
};

#[test]
fn recorded_stream_is_complete() {
    let Some(root) = EmptyRoot::find() else {
        return;
    };
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rtmp://{host}:{}/app/clip", server.port());
        let finished = root.run(&[&url, "-o", "out.flv", "--overwrite"]);
        finished.assert_ended(0, "ended");
        assert_same_media(&root.clip("out.flv"), &Clip::sample());
        assert!(!finished.stderr.contains("WARNING"), "{finished}");
    }
}

#[test]
fn tls_needs_only_the_ca_file() {
    let Some(root) = EmptyRoot::find() else {
        return;
    };
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    fs::copy(authority.file(), root.folder.path().join("ca.pem")).expect("the file can be copied");
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rtmps://{host}:{}/app/clip", front.port());
        for options in [
            &["--ca-file", "ca.pem"][..],
            &["--tls-pin", &identity.sha256()],
            &["--insecure"],
        ] {
            let arguments = [&[&*url, "-o", "out.flv", "--overwrite"], options].concat();
            root.run(&arguments).assert_ended(0, "ended");
            assert_same_media(&root.clip("out.flv"), &Clip::sample());
        }
        let finished = root.run(&[&url, "-o", "none.flv"]);
        finished.assert_ended(3, "no-connection");
        assert!(finished.stderr.contains("--ca-file"), "{finished}");
    }
}

#[test]
fn unknown_time_zone_is_utc() {
    let Some(root) = EmptyRoot::find() else {
        return;
    };
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    for (zone, offset) in [("Asia/Kathmandu", "+0000"), ("<+0545>-5:45", "+0545")] {
        let mut command = root.command(&[&server.url("clip"), "-o", "%z %T %d.flv"]);
        let finished = Process::start(command.env("TZ", zone)).finish(LIMIT);
        finished.assert_ended(0, "ended");
        let mut names = fs::read_dir(root.folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name());
        let is_found = names.any(|name| name.to_string_lossy().starts_with(offset));
        assert!(is_found, "no {offset} for {zone}: {finished}");
    }
}

#[test]
fn name_without_a_resolver_is_an_error() {
    let Some(root) = EmptyRoot::find() else {
        return;
    };
    let finished = root.run(&["rtmp://media.invalid/app/clip", "-o", "none.flv"]);
    finished.assert_ended(3, "no-connection");
    assert!(finished.stderr.contains("media.invalid"), "{finished}");
    assert!(finished.took < Duration::from_secs(15), "{finished}");
}

/// Folder that contains only the program, as root folder of a process.
struct EmptyRoot {
    folder: TempDir,
    /// Program and first arguments that change the root folder.
    chroot: &'static [&'static str],
}

impl EmptyRoot {
    /// Finds the program. Prints that the test is skipped if the system does not permit `chroot`.
    fn find() -> Option<Self> {
        let program = foreign_program("RTMPULL_STATIC_PROGRAM")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::copy(program, folder.path().join("rtmpull")).expect("the program can be copied");
        let chroot = CHROOT.into_iter().find(|words| runs(words, folder.path()));
        if chroot.is_none() {
            println!("skipped: chroot is not permitted");
        }
        chroot.map(|chroot| Self { folder, chroot })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.chroot[0]);
        command.args(&self.chroot[1..]).arg(self.folder.path());
        command.arg("/rtmpull").args(arguments);
        for variable in ["all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "TZ"] {
            command.env_remove(variable);
        }
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Finished {
        Process::start(&mut self.command(arguments)).finish(LIMIT)
    }

    #[track_caller]
    fn clip(&self, name: &str) -> Clip {
        Clip::read(&self.folder.path().join(name))
    }
}

/// Returns whether these words can start the program with `folder` as root folder.
fn runs(words: &[&str], folder: &Path) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(folder);
    let output = command.args(["/rtmpull", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// As root, and as a user who may create a user namespace.
const CHROOT: [&[&str]; 2] = [
    &["chroot"],
    &["unshare", "--user", "--map-root-user", "chroot"],
];
