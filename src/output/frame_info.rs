//! What a message is to an output.

use crate::core::flv::{
    TagKind,
    codec::{audio::AudioTag, video::VideoTag},
};

/// What the output has to know of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameInfo {
    pub(crate) kind: TagKind,
    pub(crate) is_configuration: bool,
    /// Whether it carries media, and so drives the clock.
    pub(crate) is_frame: bool,
}

impl FrameInfo {
    /// Script data.
    pub(crate) const SCRIPT: Self = Self {
        kind: TagKind::SCRIPT,
        is_configuration: false,
        is_frame: false,
    };

    pub(super) const fn configuration(kind: TagKind) -> Self {
        Self {
            kind,
            is_configuration: true,
            is_frame: false,
        }
    }

    pub(crate) fn of_video(body: &[u8]) -> Self {
        let tag = VideoTag::parse(body);
        Self {
            kind: TagKind::VIDEO,
            is_configuration: tag.as_ref().is_ok_and(VideoTag::is_configuration),
            is_frame: tag
                .as_ref()
                .map_or(!body.is_empty(), VideoTag::carries_media),
        }
    }

    pub(crate) fn of_audio(body: &[u8]) -> Self {
        let tag = AudioTag::parse(body);
        Self {
            kind: TagKind::AUDIO,
            is_configuration: tag.as_ref().is_ok_and(AudioTag::is_configuration),
            is_frame: tag
                .as_ref()
                .map_or(!body.is_empty(), AudioTag::carries_media),
        }
    }
}
