//! Numbers of a probe as they are printed.

use std::time::Duration;

/// Returns a time in milliseconds, rounded to tenths.
pub(super) fn ms(time: Option<Duration>) -> Option<f64> {
    time.map(|time| rounded(time.as_secs_f64() * 1000.0, 1))
}

/// Rounds to a number of decimals.
pub(super) fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}

/// Formats milliseconds: `0.4 ms`, `35 ms`, `1.250 s`.
pub(super) fn ms_text(ms: Option<f64>) -> Option<String> {
    let ms = ms?;
    Some(match ms.abs() {
        magnitude if magnitude >= 1000.0 => format!("{:.3} s", ms / 1000.0),
        magnitude if magnitude >= 10.0 || ms.fract() == 0.0 => format!("{ms:.0} ms"),
        _ => format!("{ms:.1} ms"),
    })
}

/// Formats a bit rate: `96 kbit/s`, `4.25 Mbit/s`.
pub(super) fn bit_rate_text(bits_per_second: f64) -> String {
    match bits_per_second {
        rate if rate >= 1e6 => format!("{:.2} Mbit/s", rate / 1e6),
        rate if rate >= 10e3 => format!("{:.0} kbit/s", rate / 1e3),
        rate => format!("{:.1} kbit/s", rate / 1e3),
    }
}

/// Formats a number with at most `decimals` decimals, without trailing zeros.
pub(super) fn number_text(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_suitable_unit() {
        for (ms, expected) in [
            (0.0, "0 ms"),
            (0.44, "0.4 ms"),
            (35.2, "35 ms"),
            (-41.0, "-41 ms"),
            (1250.0, "1.250 s"),
        ] {
            assert_eq!(ms_text(Some(ms)).unwrap(), expected);
        }
        assert_eq!(ms_text(None), None);
    }

    #[test]
    fn bit_rates_have_decimal_units() {
        for (rate, expected) in [
            (800.0, "0.8 kbit/s"),
            (96_300.0, "96 kbit/s"),
            (4_251_000.0, "4.25 Mbit/s"),
        ] {
            assert_eq!(bit_rate_text(rate), expected);
        }
    }

    #[test]
    fn numbers_have_no_trailing_zeros() {
        assert_eq!(number_text(25.0, 3), "25");
        assert_eq!(number_text(29.970_03, 3), "29.97");
        assert_eq!(number_text(100.0, 0), "100");
    }
}
