//! HLS playlists of growing, killed and finished files.

use super::*;
use crate::verify::duration;

/// The playlist plays from the start while the file grows, and afterwards.
#[test]
fn playlist_plays_during_the_recording_and_afterwards() {
    let ffmpeg = require!(Ffmpeg::find());
    for (source, speed, options) in [
        (fixtures::live_flv(&ffmpeg, false, 60), 6.0, &["-v"][..]),
        (
            fixtures::live_flv(&ffmpeg, false, 60),
            6.0,
            &["-v", "--no-index"],
        ),
        (fixtures::avc_b_frames_flv(&ffmpeg), 1.0, &["-v"]),
        (fixtures::mp3_flv(&ffmpeg), 1.0, &["-v"]),
    ] {
        let stream = Stream::live(Clip::read(&source)).paced(Pace::Speed(speed));
        let server = Server::start(Config::serving(stream));
        let options = [options, &["--hls", "--republish-wait", "0"]].concat();
        let recording = Recording::new("a clip.mp4", &options);
        let mut process = recording.start(&server.url("clip"));
        let playlist = recording.path("a clip.m3u8");
        let is_long = speed > 1.0;
        while is_long && !playlist.exists() {
            assert!(process.is_running(), "ended without a playlist");
            thread::sleep(Duration::from_millis(10));
        }
        // A local player does not decode the name of the file.
        let growing = is_long.then(|| local_copy(&recording, "a clip.mp4"));
        let setup = growing
            .as_ref()
            .map(|copy| setup(copy, &recording.path("a clip.mp4")));
        process.finish(LIMIT).assert_ended(0, "unpublished");
        let copy = local_copy(&recording, "a clip.mp4");
        assert_ranges_are_correct(&copy, &recording.path("a clip.mp4"));
        if let Some(setup_before) = setup {
            let setup = self::setup(&copy, &recording.path("a clip.mp4"));
            assert_eq!(setup, setup_before);
        }
        assert_presents_copy(&ffmpeg, &source, &copy);
        ffmpeg.assert_plays(&copy);
        assert_presents_copy(&ffmpeg, &source, &recording.path("a clip.mp4"));
    }
}

/// ffmpeg follows the playlist of a live recording to its end, and gets all frames.
#[test]
fn growing_playlist_is_followed_to_its_end() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::live_flv(&ffmpeg, false, 60);
    let stream = Stream::live(Clip::read(&source)).paced(Pace::Speed(4.0));
    let server = Server::start(Config::serving(stream));
    let options = ["-v", "--hls", "--republish-wait", "0"];
    let recording = Recording::new("out.mp4", &options);
    let mut process = recording.start(&server.url("clip"));
    let playlist = recording.path("out.m3u8");
    while !playlist.exists() {
        assert!(process.is_running(), "ended without a playlist");
        thread::sleep(Duration::from_millis(10));
    }
    let media = Media::read_with(&ffmpeg, &["-live_start_index", "0"], &playlist);
    process.finish(LIMIT).assert_ended(0, "unpublished");
    media.assert_presents(&Media::read(&ffmpeg, &source));
}

#[test]
fn playlist_of_a_killed_recording_plays_up_to_its_last_line() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::live_flv(&ffmpeg, false, 60);
    let stream = Stream::live(Clip::read(&source)).paced(Pace::Speed(8.0));
    let server = Server::start(Config::serving(stream));
    let recording = Recording::new("out.mp4", &["-v", "--hls"]);
    let mut process = recording.start(&server.url("clip"));
    thread::sleep(Duration::from_secs(4));
    process.kill_and_wait();
    let copy = local_copy(&recording, "out.mp4");
    assert_ranges_are_correct(&copy, &recording.path("out.mp4"));
    let media = Media::read(&ffmpeg, &copy);
    assert!(
        media.video.packets.len() > 20 * 25,
        "{}",
        media.video.packets.len()
    );
    media.assert_start_of(&Media::read(&ffmpeg, &source), usize::MAX);
}

/// The ffmpeg of the system does not seek in playlists of fragments, whichever program wrote them.
#[test]
fn players_seek_in_the_playlist() {
    let ffmpeg = require!(Ffmpeg::find());
    let recent = require!(Ffmpeg::find_recent());
    let source = fixtures::live_flv(&ffmpeg, false, 60);
    let recording = Recording::new("out.mp4", &["--hls"]).of(Clip::read(&source));
    let pictures = |name: &str, seconds: f64, count: &str| {
        let file = recording.path(name);
        let from = seconds.to_string();
        let input = ["-ss", &from, "-i", file.to_str().expect("a path")];
        let sink = ["-map", "0:v", "-frames:v", count, "-f", "framemd5", "-"];
        let finished = recent.run(input.iter().chain(&sink)).succeeded();
        assert_eq!(finished.stderr, "", "{name} from {seconds} s");
        let text = String::from_utf8(finished.stdout).expect("framemd5 is text");
        let hashes = text.lines().filter(|line| !line.starts_with('#'));
        let hashes = hashes.filter_map(|line| Some(line.rsplit_once(", ")?.1.to_owned()));
        hashes.collect::<Vec<_>>()
    };
    for seconds in [0.5, 7.0, 31.3, 55.0] {
        let found = pictures("out.m3u8", seconds, "3");
        // ffmpeg counts the time from the first packet of a playlist, and from the first picture of a file.
        let near = pictures("out.mp4", seconds - 0.1, "8");
        assert_eq!(found.len(), 3, "{seconds}");
        let is_near = near.windows(3).any(|pictures| pictures == found);
        assert!(is_near, "from {seconds} s: {found:?} in {near:?}");
    }
}

#[test]
fn each_segment_has_a_playlist() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::live_flv(&ffmpeg, false, 60);
    let options = ["--hls", "--segment-time", "25"];
    let recording = Recording::new("%d.mp4", &options).of(Clip::read(&source));
    recording.finished.assert_ended(0, "ended");
    let names = ["1.m3u8", "1.mp4", "2.m3u8", "2.mp4", "3.m3u8", "3.mp4"];
    assert_eq!(recording.names(), names);
    for number in 1..=3 {
        let [playlist, file] =
            ["m3u8", "mp4"].map(|kind| recording.path(&format!("{number}.{kind}")));
        assert_ranges_are_correct(&playlist, &file);
        assert!((duration(&playlist) - duration(&file)).abs() < 0.1);
        let [found, expected] = [playlist, file].map(|file| Media::read(&ffmpeg, &file));
        found.assert_presents(&expected);
    }
}

/// Only playlists are replaced, and the recording does not depend on them.
#[test]
fn only_an_earlier_playlist_is_replaced() {
    let clip = Clip::repeated_sample(4, 3_000);
    for (content, is_kept) in [("#EXTM3U\n#EXT-X-ENDLIST\n", false), ("my list\n", true)] {
        let recording = Recording::new("out.mp4", &["--hls"]);
        fs::write(recording.path("out.m3u8"), content).expect("a file");
        let recording = recording.of(clip.clone());
        recording.finished.assert_ended(0, "ended");
        let found = fs::read_to_string(recording.path("out.m3u8")).expect("a playlist");
        assert_eq!(found == content, is_kept, "{found}");
        let warning = "out.m3u8: the file exists and is not a playlist";
        assert_eq!(recording.finished.stderr.contains(warning), is_kept);
        assert_eq!(found.contains("out.mp4"), !is_kept);
    }
}

#[test]
fn playlists_need_mp4_files() {
    for (output, options, error) in [
        ("out.flv", &["--hls"][..], "--hls needs an MP4 file"),
        (
            "-",
            &["--hls", "--format", "mp4"],
            "--hls needs an MP4 file",
        ),
        (
            "out.mp4",
            &["--hls", "--append"],
            "--hls cannot continue the playlist",
        ),
    ] {
        let recording = Recording::new(output, options).of(Clip::sample());
        assert_eq!(recording.finished.code(), Some(1));
        let lines = &recording.finished.stderr;
        assert!(lines.contains(error), "{lines}");
        assert!(recording.names().is_empty());
    }
}

/// Writes a playlist with an end that refers to `file` by its plain name.
#[track_caller]
fn local_copy(recording: &Recording<'_>, file: &str) -> PathBuf {
    let playlist = recording.path(file).with_extension("m3u8");
    let mut lines = fs::read_to_string(&playlist).expect("a playlist");
    assert!(lines.ends_with('\n'), "the last line is complete");
    lines = lines.replace(&file.replace(' ', "%20"), file);
    if !lines.ends_with("#EXT-X-ENDLIST\n") {
        lines.push_str("#EXT-X-ENDLIST\n");
    }
    let copy = recording.path("copy.m3u8");
    fs::write(&copy, lines).expect("a playlist");
    copy
}

/// Reads a byte range, `LENGTH@OFFSET`.
#[track_caller]
fn range(file: &[u8], text: &str) -> Vec<u8> {
    let (length, offset) = text.split_once('@').expect("a range");
    let [length, offset] =
        [length, offset].map(|number| number.parse::<usize>().expect("a number"));
    file[offset..offset + length].to_vec()
}

/// Returns the bytes of the initialization section.
#[track_caller]
fn setup(playlist: &Path, file: &Path) -> Vec<u8> {
    let lines = fs::read_to_string(playlist).expect("a playlist");
    let map = lines.lines().find(|line| line.starts_with("#EXT-X-MAP:"));
    let text = map.expect("a map").split('"').nth_back(1).expect("a range");
    range(&fs::read(file).expect("a file"), text)
}

/// Panics unless the initialization section has its two boxes, and all segments follow one another, start
/// with a fragment, and last no longer than the target duration.
#[track_caller]
fn assert_ranges_are_correct(playlist: &Path, file: &Path) {
    let setup = setup(playlist, file);
    assert_eq!(boxes_in(&setup), ["ftyp", "moov"]);
    let file = fs::read(file).expect("a file");
    let lines = fs::read_to_string(playlist).expect("a playlist");
    let tag = |name: &str| {
        let values = lines.lines().filter_map(|line| line.strip_prefix(name));
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let target: f64 = tag("#EXT-X-TARGETDURATION:")[0].parse().expect("a number");
    for duration in tag("#EXTINF:") {
        let duration: f64 = duration.trim_end_matches(',').parse().expect("a number");
        assert!(duration.round() <= target, "{duration}");
    }
    let mut end = None;
    for text in tag("#EXT-X-BYTERANGE:") {
        let names = boxes_in(&range(&file, &text));
        let fragments = names.chunks(2).all(|pair| pair == ["moof", "mdat"]);
        assert!(fragments, "{names:?}");
        let (length, offset) = text.split_once('@').expect("a range");
        let [length, offset] =
            [length, offset].map(|number| number.parse::<u64>().expect("a number"));
        assert!(
            end.is_none_or(|end| end == offset),
            "{offset} after {end:?}"
        );
        end = Some(offset + length);
    }
    assert!(end.is_some(), "{lines}");
}
