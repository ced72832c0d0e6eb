//! Usability information (VUI) of AVC and HEVC: the fields that both have.

use super::super::{
    bits::BitReader,
    description::{Color, VideoDescription},
};

/// Reads vui_parameters up to the location of chroma samples (H.264 E.1.1, H.265 E.2.1).
pub(super) fn read_start(
    bits: &mut BitReader<'_>,
    description: &mut VideoDescription,
) -> Option<()> {
    if bits.bit()? {
        description.pixel_aspect = read_pixel_aspect(bits)?;
    }
    if bits.bit()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.skip(3)?; // video_format
        description.is_full_range = Some(bits.bit()?);
        if bits.bit()? {
            let color = Color {
                primaries: bits.u8(8)?,
                transfer: bits.u8(8)?,
                matrix: bits.u8(8)?,
            };
            description.color = color.specified();
        }
    }
    if bits.bit()? {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?; // chroma_sample_loc_type_bottom_field
    }
    Some(())
}

/// Reads a frame rate. `ticks` is the number of ticks that a frame lasts.
pub(super) fn read_frame_rate(bits: &mut BitReader<'_>, ticks: f64) -> Option<Option<f64>> {
    let (units, scale) = (bits.u32(32)?, bits.u32(32)?);
    let rate = f64::from(scale) / f64::from(units) / ticks;
    Some(Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0))
}

/// Reads a sample aspect ratio. Returns `Some(None)` if it is unspecified or reserved.
fn read_pixel_aspect(bits: &mut BitReader<'_>) -> Option<Option<(u16, u16)>> {
    let aspect = match bits.u8(8)? {
        EXTENDED_SAR => {
            let mut read = || u16::try_from(bits.u32(16)?).ok();
            Some((read()?, read()?))
        }
        index => PIXEL_ASPECTS.get(usize::from(index)).copied(),
    };
    Some(aspect.filter(|(width, height)| *width > 0 && *height > 0))
}

/// Sample aspect ratios by index (H.264 table E-1, H.265 table E.1); the first is unspecified.
const PIXEL_ASPECTS: [(u16, u16); 17] = [
    (0, 0),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Index of a sample aspect ratio that follows.
const EXTENDED_SAR: u8 = 255;
