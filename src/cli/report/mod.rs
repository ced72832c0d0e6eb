//! Reports of a download: text for people and front ends, JSON for scripts, a heartbeat file and systemd
//! notifications for supervisors.

mod display_options;
pub mod heartbeat;
pub mod json;
mod listeners;
pub mod status;
pub mod streams;
#[cfg(unix)]
pub mod systemd;
pub mod text;
mod worker;

pub use self::{
    display_options::DisplayOptions,
    listeners::{Listener, Listeners},
};

/// A change of the picture size.
#[cfg(test)]
fn change() -> crate::download::FormatChange {
    use crate::{
        core::flv::{
            TagKind,
            codec::{PictureSize, VideoCodec},
            frame_info::Codec,
        },
        download::{FormatChange, TrackFormat},
    };
    let format = |width, height| TrackFormat {
        codec: Codec::Video(VideoCodec::AVC),
        picture_size: Some(PictureSize { width, height }),
        audio: None,
    };
    FormatChange {
        track: TagKind::VIDEO,
        from: format(1920, 1080),
        to: format(1280, 720),
        at_ms: 12_000,
    }
}
