//! AC-3 and E-AC-3: frame headers.

use super::{super::bits::BitReader, AudioFormat};

/// Returns sample rate and channels of an AC-3 or E-AC-3 frame (ETSI TS 102 366 4.3 and E.1.2). In E-AC-3
/// they are those of the first substream.
pub fn format(frame: &[u8]) -> Option<AudioFormat> {
    let [0x0B, 0x77, _, _, rate_and_channels, version, ..] = frame else {
        return None;
    };
    if version >> 3 > HIGHEST_AC_3 {
        read_enhanced(*rate_and_channels)
    } else {
        read_plain(frame.get(4..)?)
    }
}

fn read_plain(syncinfo: &[u8]) -> Option<AudioFormat> {
    let mut bits = BitReader::new(syncinfo);
    let rate_hz = rate_hz(bits.u8(2)?)?;
    bits.skip(6 + 5 + 3)?; // frmsizecod, bsid, bsmod
    let mode = bits.u8(3)?;
    if mode & 1 != 0 && mode != MONO {
        bits.skip(2)?; // cmixlev
    }
    if mode & 4 != 0 {
        bits.skip(2)?; // surmixlev
    }
    if mode == STEREO {
        bits.skip(2)?; // dsurmod
    }
    Some(AudioFormat {
        rate_hz,
        channels: channels(mode, bits.bit()?),
    })
}

fn read_enhanced(byte: u8) -> Option<AudioFormat> {
    let rate_hz = match byte >> 6 {
        // fscod2 replaces the number of blocks, and the rates are halved.
        3 => rate_hz(byte >> 4 & 3)?.checked_shr(1)?,
        code => rate_hz(code)?,
    };
    Some(AudioFormat {
        rate_hz,
        channels: channels(byte >> 1 & 7, byte & 1 == 1),
    })
}

fn rate_hz(code: u8) -> Option<u32> {
    match code {
        0 => Some(48_000),
        1 => Some(44_100),
        2 => Some(32_000),
        _ => None,
    }
}

/// Returns the number of channels (ETSI TS 102 366 table 4.3).
fn channels(mode: u8, has_low_frequencies: bool) -> u8 {
    let full_range: u8 = match mode {
        MONO => 1,
        0 | STEREO => 2,
        3 | 4 => 3,
        5 | 6 => 4,
        _ => 5,
    };
    full_range.saturating_add(u8::from(has_low_frequencies))
}

/// Largest bsid of AC-3; larger ones are E-AC-3.
const HIGHEST_AC_3: u8 = 10;

/// Values of acmod.
const MONO: u8 = 1;
const STEREO: u8 = 2;

#[cfg(test)]
mod tests {
    use super::{
        super::super::tests::{hex, when_cut},
        *,
    };

    #[test]
    fn frames_of_ac_3_and_e_ac_3() {
        for (frame, rate_hz, channels) in [
            ("0b772fde8c402f", 32_000, 1),
            ("0b77d0f81e40eb", 48_000, 6),
            ("0b7703ce7f87c0", 44_100, 6),
            ("0b7703cedf87c0", 22_050, 6),
        ] {
            let expected = Some(AudioFormat { rate_hz, channels });
            assert_eq!(when_cut(&hex(frame), format), expected, "{frame}");
        }
    }

    #[test]
    fn reserved_rates_and_other_sync_words_are_rejected() {
        assert_eq!(format(&hex("0b772fdecc402f")), None);
        assert_eq!(format(&hex("0b7703ceff87c0")), None);
        assert_eq!(format(&hex("770b2fde8c402f")), None);
    }
}
