//! Source clips, encoded by ffmpeg on first use and kept under `target/`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process,
    sync::Mutex,
};

use crate::peers::ffmpeg::Ffmpeg;

/// Returns four seconds of H.264 and AAC with a keyframe every second.
pub fn avc_aac_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    encode(ffmpeg, "avc_aac.flv", &[AVC, AAC])
}

/// Returns H.264 with B-frames and AAC in an MP4 file that can be played progressively.
pub fn avc_aac_mp4(ffmpeg: &Ffmpeg) -> PathBuf {
    encode(
        ffmpeg,
        "avc_aac.mp4",
        &[AVC, &["-bf", "2"], AAC, &["-movflags", "faststart"]],
    )
}

/// Returns H.264 with B-frames and AAC.
#[cfg(unix)]
pub fn avc_b_frames_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    encode(ffmpeg, "avc_b_frames.flv", &[AVC, &["-bf", "2"], AAC])
}

/// Returns the clips whose codecs every ffmpeg writes to FLV: H.264 and AAC, also with B-frames, and MP3.
#[cfg(unix)]
pub fn legacy_flvs(ffmpeg: &Ffmpeg) -> [PathBuf; 3] {
    [avc_aac_flv, avc_b_frames_flv, mp3_flv].map(|clip| clip(ffmpeg))
}

/// Returns the clips whose codecs only Enhanced RTMP defines for FLV.
#[cfg(unix)]
pub fn enhanced_flvs(recent: &Ffmpeg) -> [PathBuf; 6] {
    [
        hevc_aac_flv,
        av1_opus_flv,
        vp9_opus_flv,
        avc_flac_flv,
        avc_ac3_flv,
        avc_eac3_flv,
    ]
    .map(|clip| clip(recent))
}

/// Returns H.264 with pixels of 16 to 11 and the full range of values.
#[cfg(unix)]
pub fn avc_wide_pixels_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    let pixels = "-vf scale=out_range=full,setsar=16/11 -color_range pc";
    let pixels: Vec<&str> = pixels.split(' ').collect();
    encode(ffmpeg, "avc_wide_pixels.flv", &[AVC, &pixels, AAC])
}

/// Returns a second of H.264 whose frames have more than 64 KiB.
#[cfg(unix)]
pub fn avc_large_frames_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    let noise = "-vf scale=1280:720,noise=alls=60:allf=t -t 1";
    let noise: Vec<&str> = noise.split(' ').collect();
    encode(ffmpeg, "avc_large_frames.flv", &[AVC, &noise, AAC])
}

/// Returns MP3 without video.
pub fn mp3_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    encode(ffmpeg, "mp3.flv", &[&["-vn"], MP3])
}

/// Returns Sorenson H.263 and MP3, which have no sequence headers.
pub fn h263_mp3_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    encode(ffmpeg, "h263_mp3.flv", &[&["-c:v", "flv", "-g", "25"], MP3])
}

/// Returns ten minutes of H.264 and AAC at 8 Mbit/s: 600 MB.
pub fn big_flv(ffmpeg: &Ffmpeg) -> PathBuf {
    let rate = [
        "-b:v", "8M", "-minrate", "8M", "-maxrate", "8M", "-bufsize", "8M",
    ];
    let looped = encode(
        ffmpeg,
        "round.flv",
        &[AVC, &rate, &["-x264-params", "nal-hrd=cbr"], AAC],
    );
    let name = "big.flv";
    let loops = ["-stream_loop", "149", "-i"].map(OsString::from);
    let copy = ["-c", "copy"].map(OsString::from);
    encode_with(
        ffmpeg,
        name,
        loops
            .into_iter()
            .chain([looped.into_os_string()])
            .chain(copy),
    )
}

/// Returns `seconds` of small H.264 video and AAC with a keyframe every second. All frames differ,
/// also from those of the mirrored picture.
pub fn live_flv(ffmpeg: &Ffmpeg, is_mirrored: bool, seconds: u32) -> PathBuf {
    let (name, filter) = if is_mirrored {
        ("mirrored", ",hflip")
    } else {
        ("live", "")
    };
    let picture = format!("testsrc2=size=160x90:rate=25:duration={seconds}{filter}");
    let noise = format!(
        "anoisesrc=amplitude=0.1:seed={}:duration={seconds}",
        name.len()
    );
    let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &noise];
    let arguments = inputs.iter().chain(LIVE_AVC).chain(AAC);
    let name = format!("{name}_{seconds}.flv");
    encode_with(ffmpeg, &name, arguments.map(OsString::from))
}

/// Returns five seconds of H.264 with B-frames at this rate, such as "30000/1001", and AAC.
#[cfg(unix)]
pub fn avc_at_rate_flv(ffmpeg: &Ffmpeg, rate: &str) -> PathBuf {
    let picture = format!("testsrc2=size=160x90:rate={rate}:duration=5");
    let inputs = ["-f", "lavfi", "-i", &picture];
    let sound = ["-f", "lavfi", "-i", "sine=sample_rate=44100:duration=5"];
    let name = format!("rate_{}.flv", rate.replace('/', "_"));
    let codecs = LIVE_AVC.iter().chain(&["-bf", "2"]).chain(AAC);
    let arguments = inputs.iter().chain(&sound).chain(codecs);
    encode_with(ffmpeg, &name, arguments.map(OsString::from))
}

/// Returns HEVC and AAC in Enhanced RTMP. Requires a recent ffmpeg, like the functions below.
pub fn hevc_aac_flv(recent: &Ffmpeg) -> PathBuf {
    let hevc = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-x265-params",
        "log-level=none",
    ];
    encode(recent, "hevc_aac.flv", &[&hevc, AAC])
}

/// Returns two tracks of H.264, 320x180 and 160x90, an AAC track and an Opus track, in Enhanced RTMP.
pub fn multitrack_flv(recent: &Ffmpeg) -> PathBuf {
    let arguments = [
        "-f lavfi -i testsrc=size=320x180:rate=25:duration=4",
        "-f lavfi -i testsrc2=size=160x90:rate=25:duration=4",
        "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=4",
        "-f lavfi -i sine=frequency=880:sample_rate=48000:duration=4",
        "-map 0 -map 1 -map 2 -map 3 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 2 -g 25",
        "-c:a:0 aac -c:a:1 libopus",
    ];
    let arguments = arguments.iter().flat_map(|part| part.split(' '));
    encode_with(recent, "multitrack.flv", arguments.map(OsString::from))
}

/// Returns H.264 and FLAC in Enhanced RTMP.
#[cfg(unix)]
pub fn avc_flac_flv(recent: &Ffmpeg) -> PathBuf {
    encode(recent, "avc_flac.flv", &[AVC, &["-c:a", "flac"]])
}

/// Returns H.264 and AC-3 in Enhanced RTMP.
#[cfg(unix)]
pub fn avc_ac3_flv(recent: &Ffmpeg) -> PathBuf {
    encode(recent, "avc_ac3.flv", &[AVC, &["-c:a", "ac3"]])
}

/// Returns H.264 and E-AC-3 in Enhanced RTMP.
#[cfg(unix)]
pub fn avc_eac3_flv(recent: &Ffmpeg) -> PathBuf {
    encode(recent, "avc_eac3.flv", &[AVC, &["-c:a", "eac3"]])
}

/// Returns AV1 and Opus.
pub fn av1_opus_flv(recent: &Ffmpeg) -> PathBuf {
    let av1 = [
        "-c:v",
        "libaom-av1",
        "-cpu-used",
        "8",
        "-usage",
        "realtime",
        "-g",
        "25",
    ];
    encode(recent, "av1_opus.flv", &[&av1, OPUS])
}

/// Returns reordered VVC without audio.
#[cfg(unix)]
pub fn vvc_flv(recent: &Ffmpeg) -> PathBuf {
    let vvc = [
        "-an",
        "-c:v",
        "libvvenc",
        "-preset",
        "faster",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p10le",
    ];
    encode(recent, "vvc.flv", &[&vvc])
}

/// Returns VP9 and Opus.
pub fn vp9_opus_flv(recent: &Ffmpeg) -> PathBuf {
    let vp9 = [
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-g",
        "25",
    ];
    encode(recent, "vp9_opus.flv", &[&vp9, OPUS])
}

/// Returns VP8 in IVF, because ffmpeg does not write it to FLV.
#[cfg(unix)]
pub fn vp8_ivf(recent: &Ffmpeg) -> PathBuf {
    let vp8 = ["-an", "-c:v", "libvpx", "-cpu-used", "8", "-g", "25"];
    encode(recent, "vp8.ivf", &[&vp8])
}

/// Encodes a test picture and a tone as `name`, unless the file exists.
fn encode(ffmpeg: &Ffmpeg, name: &str, codecs: &[&[&str]]) -> PathBuf {
    let arguments = SOURCE.iter().chain(codecs.iter().copied().flatten());
    encode_with(ffmpeg, name, arguments.map(OsString::from))
}

fn encode_with(ffmpeg: &Ffmpeg, name: &str, arguments: impl Iterator<Item = OsString>) -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips-1");
    let clip = folder.join(name);
    let _guard = LOCK.lock();
    if !clip.exists() {
        fs::create_dir_all(&folder).expect("the folder can be created");
        // Another test process may encode the same clip, so only complete files get the final name.
        let unfinished = folder.join(format!("{}-{name}", process::id()));
        let output = unfinished.clone().into_os_string();
        ffmpeg.run(arguments.chain([output])).succeeded();
        fs::rename(unfinished, &clip).expect("the clip can be renamed");
    }
    clip
}

const SOURCE: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc=size=320x180:rate=25:duration=4",
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=48000:duration=4",
    "-pix_fmt",
    "yuv420p",
];
const AVC: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-g", "25"];
const LIVE_AVC: &[&str] = &[
    "-pix_fmt",
    "yuv420p",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-g",
    "25",
];
const AAC: &[&str] = &["-c:a", "aac", "-b:a", "64k"];
const MP3: &[&str] = &["-c:a", "libmp3lame", "-ar", "44100", "-b:a", "64k"];
const OPUS: &[&str] = &["-c:a", "libopus", "-b:a", "48k"];
