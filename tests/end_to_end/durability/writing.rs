use super::*;
use crate::{
    program,
    server::{Config, Pace, Server, Stream},
};

#[test]
fn file_is_locked_while_it_is_recorded() {
    let server = Server::start(Config::serving(Stream::live(Clip::sample())));
    let url = server.url("clip");
    let mut running = program::start(&url, &["-v"]);
    running.wait_for_bytes(head::LENGTH as u64 + 1_000);
    let file = running.file();
    let mut second = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    second.args([&url, "-v", "--overwrite", "-o"]).arg(&file);
    let second = Process::start(&mut second).finish(LIMIT);
    assert_eq!(second.code(), Some(1), "{second}");
    let last = second.stderr.lines().last().unwrap_or_default();
    let error = format!("{}: another program is writing it", file.display());
    let error = format!("ERROR: output-failed: cannot write the output: {error}");
    assert!(last.starts_with(&error), "{second}");
    assert_single_line(
        &repair([&file]),
        1,
        "another program is writing it; the file is unchanged",
    );
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    let bytes = fs::read(download.file()).expect("the file exists");
    let indexed = IndexedFile::read(&bytes);
    indexed.assert_head_matches(bytes.len());
    assert_sample(&indexed.tags);
    assert_single_line(&repair([&file]), 0, "complete, nothing to repair");
}

#[test]
fn no_index_file_is_indexed_by_repair() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let download = program::download(&server.url("clip"), &["--no-index"]);
    download.assert_ended(0, "ended");
    let file = download.file();
    let bytes = fs::read(&file).expect("the file exists");
    assert!(!head::is_rewritable(&bytes));
    assert!(
        bytes.len() < head::LENGTH + 5_000,
        "no space is reserved for the index"
    );
    let tags: Vec<Tag> = Clip::parse(&bytes).media().cloned().collect();
    assert_sample(&tags);
    repair([&file]).succeeded();
    let bytes = fs::read(&file).expect("the file exists");
    let indexed = IndexedFile::read(&bytes);
    indexed.assert_head_matches(bytes.len());
    assert!(indexed.tags == tags);
}

#[test]
fn sync_interval_does_not_change_the_file() {
    let stream = Stream::live(Clip::sample()).paced(Pace::Speed(2.0));
    let server = Server::start(Config::serving(stream));
    let url = server.url("clip");
    let running = ["0", "50ms", "1"].map(|often| program::start(&url, &["-v", "--sync", often]));
    let files = running.map(|running| {
        let download = running.finish();
        download.assert_ended(0, "unpublished");
        fs::read(download.file()).expect("the file exists")
    });
    assert!(files.iter().all(|file| *file == files[0]));
    IndexedFile::read(&files[0]).assert_head_matches(files[0].len());
    let wrong = program::download(&url, &["--sync", "often"]);
    assert_eq!(wrong.finished.code(), Some(1));
    assert!(
        wrong.finished.stderr.contains("--sync"),
        "{}",
        wrong.finished
    );
}

/// Panics unless these are the frames of the sample. The end-of-sequence tag is ignored, because
/// its time changes.
#[track_caller]
fn assert_sample(tags: &[Tag]) {
    let is_frame = |tag: &&Tag| !tag.is_end_of_sequence();
    let sample = Clip::sample();
    assert!(
        sample
            .media()
            .filter(is_frame)
            .eq(tags.iter().filter(is_frame))
    );
}
