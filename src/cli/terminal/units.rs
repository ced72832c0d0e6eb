//! Sizes as they are printed.

/// Formats a size in binary units: `812 B`, `190 KiB`, `6.4 MiB`. The number is rounded down, so that a size
/// never appears larger than it is.
pub fn size(bytes: u64) -> String {
    let mut unit = 1_u64 << 10;
    let mut names = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let Some(mut name) = names.next().filter(|_| bytes >= unit) else {
        return format!("{bytes} B");
    };
    while let Some(larger) = names.next().filter(|_| bytes >> 10 >= unit) {
        unit <<= 10;
        name = larger;
    }
    if name == "KiB" {
        return format!("{} KiB", bytes / unit);
    }
    let tenths = bytes % unit / (unit / 10 + 1);
    format!("{}.{tenths} {name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (194_560, "190 KiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (1 << 20, "1.0 MiB"),
            (6_763_315, "6.4 MiB"),
            ((2 << 20) - 1, "1.9 MiB"),
            ((1 << 30) - 1, "1023.9 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }
}
