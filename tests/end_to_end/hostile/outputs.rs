use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::PermissionsExt,
};

use super::*;
use crate::server::{Config, Pace, Server, Stream};

#[test]
fn unopenable_output_is_named() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let cases = [
        (
            "no/such/folder/out.flv",
            "out.flv: the folder FOLDER/no/such/folder does not exist",
        ),
        (
            "no/such/folder/",
            "clip.flv: the folder FOLDER/no/such/folder does not exist",
        ),
        (
            "none/cam-%d.flv",
            "cam-1.flv: the folder FOLDER/none does not exist",
        ),
        (".", "Is a directory"),
        ("out.flv/out.flv", "Not a directory"),
        ("out.flv/%Y/cam.flv", "Not a directory"),
    ];
    for (output, cause) in cases {
        let invocation = Invocation::new(&server.url("clip")).into(output);
        let folder = invocation.folder.path().display().to_string();
        let ended = invocation.run();
        ended.assert_ended(
            1,
            "output-failed",
            &format!("cannot write the output: {folder}"),
        );
        ended.assert_ended(1, "output-failed", &cause.replace("FOLDER", &folder));
    }
    assert_eq!(server.clients().len(), 0, "no server was contacted");
}

/// In these folders not even root can create a file.
#[test]
#[cfg(target_os = "linux")]
fn folder_of_the_kernel_is_rejected_before_connecting() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    for output in ["out.flv", "", "cam-%d.flv", "%Y/%m/cam.flv"] {
        let output = format!("/proc/{output}");
        let ended = Invocation::new(&server.url("clip")).into(output).run();
        let cause = "cannot create a file in /proc: ";
        ended.assert_ended(1, "output-failed", cause);
    }
    assert_eq!(server.clients().len(), 0, "no server was contacted");
}

#[test]
fn read_only_folder_is_rejected_before_connecting() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    for (output, options) in [
        ("new.flv", &[][..]),
        ("", &[]),
        ("cam-%d.flv", &[]),
        ("%Y/%m/cam.flv", &[]),
        ("out.flv", &["--segment-time", "1"]),
    ] {
        let Some(invocation) = without_privileges(&url) else {
            return;
        };
        let folder = invocation.folder.path().to_owned();
        set_mode(&folder, 0o555);
        // Joining an empty name adds the slash of a folder.
        let ended = invocation.into(output).options(options).run();
        let cause = format!(
            "cannot create a file in {}: Permission denied",
            folder.display()
        );
        ended.assert_ended(1, "output-failed", &cause);
        set_mode(&folder, 0o755);
    }
    assert_eq!(server.clients().len(), 0, "no server was contacted");
}

#[test]
fn existing_outputs_in_a_read_only_folder_are_written() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let Some(invocation) = without_privileges(&server.url("clip")) else {
        return;
    };
    let folder = invocation.folder.path().to_owned();
    set_mode(&folder, 0o555);
    let ended = invocation.run();
    ended.assert_ended(0, "ended", "");
    assert!(ended.tags().starts_with(&sample_media()));
    set_mode(&folder, 0o755);

    let invocation = without_privileges(&server.url("clip")).map(into_fifo);
    let invocation = invocation.expect("privileges were dropped before");
    let folder = invocation.folder.path().to_owned();
    set_mode(&folder, 0o555);
    let fifo = invocation.output.clone();
    let running = invocation.start();
    let piped = fs::read(fifo).expect("the FIFO can be read");
    assert!(piped.starts_with(b"FLV\x01"));
    let ended = running.finish();
    ended.assert_ended(0, "ended", "");
    set_mode(&folder, 0o755);
}

#[test]
fn folder_check_leaves_nothing_behind() {
    let server = Server::start(Config::default());
    for output in ["new.flv", "", "cam-%d.flv", "%Y/%m/cam.flv"] {
        let invocation = Invocation::new(&server.url("nothing")).into(output);
        let ended = invocation.run();
        ended.assert_ended(1, "not-found", "");
        let folder = fs::read_dir(ended._folder.path()).expect("the folder exists");
        assert_eq!(folder.count(), 1, "only the old file");
    }
}

#[test]
fn read_only_file_is_left_unchanged() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let invocation = Invocation::new(&server.url("clip"));
    let read_only = fs::Permissions::from_mode(0o444);
    fs::set_permissions(&invocation.output, read_only).expect("the permissions can be changed");
    // Root may write to a read-only file.
    let is_allowed = OpenOptions::new()
        .write(true)
        .open(&invocation.output)
        .is_ok();
    let ended = invocation.run();
    if is_allowed {
        ended.assert_ended(0, "ended", "");
    } else {
        ended.assert_ended(1, "output-failed", "Permission denied");
        ended.assert_unchanged();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn running_program_is_rejected_as_output() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let invocation = Invocation::new(&server.url("clip")).into("program");
    // Copy with cp, not in this process: another test's child could inherit the open file, and a
    // file open for writing cannot be executed.
    let copied = Command::new("cp")
        .arg("/bin/sleep")
        .arg(&invocation.output)
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "cp failed");
    let program = Process::start(Command::new(&invocation.output).arg("60"));
    let ended = invocation.run();
    ended.assert_ended(1, "output-failed", "Text file busy");
    drop(program);
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_ends_with_disk_full() {
    for stream in [
        Stream::recorded_sample(),
        Stream::recorded_sample().paced(Pace::Speed(1.0)),
    ] {
        let server = Server::start(Config::serving(stream));
        let ended = Invocation::new(&server.url("clip")).into("/dev/full").run();
        let cause = "no space for the output: No space left on device";
        ended.assert_ended(1, "disk-full", cause);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_keeps_the_written_tags() {
    for pace in [Pace::Unbounded, Pace::Speed(10.0)] {
        let server = Server::start(Config::serving(Stream::recorded_sample().paced(pace)));
        let ended = with_file_size_limit(60_000, &server.url("clip")).run();
        let cause = "no space for the output: File too large";
        ended.assert_ended(1, "disk-full", cause);
        let tags = ended.tags();
        assert!(
            tags == sample_media()[..tags.len()],
            "exactly the received tags"
        );
        let file = fs::metadata(&ended.output).expect("the file exists").len();
        assert!((58_000..60_000).contains(&file), "{file} bytes");
        let duration = ended.metadata().get("duration").and_then(Value::as_number);
        let last_ms = tags.last().map_or(0, |tag| tag.timestamp_ms);
        let excess = duration.unwrap_or_default() - f64::from(last_ms) / 1000.0;
        assert!(
            (0.0..0.1).contains(&excess),
            "{duration:?} for {last_ms} ms"
        );
        let size = ended.metadata().get("filesize").and_then(Value::as_number);
        assert_eq!(size, Some(file as f64));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_before_the_head_leaves_an_empty_file() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let ended = with_file_size_limit(20_000, &server.url("clip")).run();
    let cause = "no space for the output: File too large";
    ended.assert_ended(1, "disk-full", cause);
    let file = fs::read(&ended.output).expect("the file exists");
    assert_eq!(file.len(), 0);
}

#[test]
fn missing_stream_leaves_the_file_unchanged() {
    let server = Server::start(Config::default());
    let ended = Invocation::new(&server.url("nothing")).run();
    ended
        .assert_ended(
            1,
            "not-found",
            "NetStream.Play.StreamNotFound: No such stream.",
        )
        .assert_unchanged();
    let ended = Invocation::new(&server.url("nothing"))
        .into_new_file()
        .run();
    ended.assert_no_file();
}

#[test]
fn live_recording_requires_overwrite() {
    let server = Server::start(Config::serving(Stream::live_sample()));
    let url = server.url("clip");
    let live_in_url = format!("{url} live=1");
    for (url, options) in [
        (&url, &["-v"][..]),
        (&url, &["-v", "-e"]),
        (&live_in_url, &[]),
    ] {
        let ended = Invocation::new(url).options(options).run();
        ended.assert_ended(1, "usage", "is not empty: use --overwrite to replace it");
        ended.assert_unchanged();
    }
    assert_eq!(server.clients().len(), 0, "no server was contacted");

    let ended = Invocation::new(&url).options(["-v", "--overwrite"]).run();
    ended.assert_ended(0, "unpublished", "");
    assert!(
        ended.tags().starts_with(&sample_media()),
        "the received tags"
    );
    let ended = Invocation::new(&url).options(["-v"]).into_new_file().run();
    ended.assert_ended(0, "unpublished", "");
    assert!(
        ended.tags().starts_with(&sample_media()),
        "the received tags"
    );
    let ended = Invocation::new(&url)
        .options(["-v"])
        .into("/dev/null")
        .run();
    ended.assert_ended(0, "unpublished", "");
}

#[test]
fn leaving_reader_ends_with_reader_gone() {
    let server = Server::start(Config::serving(
        Stream::recorded_sample().paced(Pace::Speed(1.0)),
    ));
    let invocation = Invocation::new(&server.url("clip"));
    let invocation = into_fifo(invocation);
    let fifo = invocation.output.clone();
    let running = invocation.start();
    let mut reader = File::open(fifo).expect("the FIFO exists");
    let mut start = [0; 500];
    reader.read_exact(&mut start).expect("the stream plays");
    assert_eq!(start[..4], *b"FLV\x01");
    drop(reader);
    let ended = running.finish();
    ended.assert_ended(0, "reader-gone", "the reader closed the output");
}

/// Returns an invocation that permission bits apply to, even if root runs the tests.
fn without_privileges(url: &str) -> Option<Invocation> {
    let mut invocation = Invocation::new(url);
    let folder = invocation.folder.path().to_owned();
    set_mode(&folder, 0o555);
    let probe = folder.join("probe");
    let is_privileged = File::create(&probe).is_ok();
    set_mode(&folder, 0o755);
    if !is_privileged {
        return Some(invocation);
    }
    fs::remove_file(&probe).expect("the file can be removed");
    let drop_override = ["--bounding-set", "-dac_override,-dac_read_search"];
    let mut setpriv = Command::new("setpriv");
    let status = setpriv.args(drop_override).arg("true").status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("skipped: setpriv cannot drop privileges");
        return None;
    }
    invocation.command = Command::new("setpriv");
    let program = env!("CARGO_BIN_EXE_rtmpull");
    Some(invocation.options(drop_override).options([program, url]))
}

fn set_mode(path: &Path, mode: u32) {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).expect("the permissions can be changed");
}

/// Returns an invocation whose files cannot exceed `bytes`, rounded down to blocks of 512 bytes.
#[cfg(target_os = "linux")]
fn with_file_size_limit(bytes: usize, url: &str) -> Invocation {
    let blocks = bytes / 512;
    let script = format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#);
    let mut invocation = Invocation::new(url);
    invocation.command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_rtmpull");
    invocation.options(["-c", &script, program, url])
}
