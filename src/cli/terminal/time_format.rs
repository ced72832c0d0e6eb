//! Times as they are printed.

use jiff::{Timestamp, Zoned};

/// Formats a time in UTC as in RFC 3339: `2026-11-22T15:04:05.678Z`.
pub fn utc(now: Timestamp) -> String {
    format!("{now:.3}")
}

/// Formats the time of day in the local time zone: `15:04:05.678`.
pub fn time_of_day(now: &Zoned) -> String {
    now.strftime("%H:%M:%S%.3f").to_string()
}

/// Formats a duration as minutes and seconds, `2:03`, or from one hour on as `1:02:03`.
pub fn hms(ms: u64) -> String {
    let seconds = ms / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_hours_from_one_hour_on() {
        let cases = [
            (0, "0:00"),
            (59_999, "0:59"),
            (3_599_999, "59:59"),
            (3_723_999, "1:02:03"),
            (360_000_000, "100:00:00"),
        ];
        for (ms, expected) in cases {
            assert_eq!(hms(ms), expected);
        }
    }

    #[test]
    fn time_of_day_has_milliseconds() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
        let now = Timestamp::from_millisecond(3_723_007).unwrap();
        assert_eq!(time_of_day(&now.to_zoned(zone.clone())), "03:02:03.007");
        let midnight = Timestamp::from_millisecond(79_200_000).unwrap();
        assert_eq!(time_of_day(&midnight.to_zoned(zone)), "00:00:00.000");
    }

    #[test]
    fn utc_has_date_and_milliseconds() {
        let at = |seconds: i64| utc(Timestamp::from_millisecond(seconds * 1000 + 7).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(253_402_200_000), "9999-12-30T20:00:00.007Z");
    }
}
