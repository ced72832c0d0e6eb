//! Clock of the encoder in script messages, such as `onFI`.

use std::collections::VecDeque;

use super::facts::{EncoderClock, EncoderDelay};
use crate::core::amf::{Object, Text, Value};

/// Delays of the latest script messages with a time.
#[derive(Debug, Default)]
pub(super) struct EncoderDelays {
    clock: Option<EncoderClock>,
    delays_ms: VecDeque<i64>,
    samples: u64,
}

impl EncoderDelays {
    /// Adds a script message that arrived at `unix_ms`. Its values count as a clock if they are plausible at this
    /// time, whatever the name of the message is.
    pub(super) fn add(&mut self, name: &[u8], value: &Value, unix_ms: i64) {
        let Some((clock, delay_ms)) = delay(name, value, unix_ms) else {
            return;
        };
        // A time of day is less certain.
        if self.clock == Some(EncoderClock::Absolute) && clock == EncoderClock::TimeOfDay {
            return;
        }
        if self.clock.replace(clock) != Some(clock) {
            self.delays_ms.clear();
            self.samples = 0;
        }
        if self.delays_ms.len() >= LATEST {
            self.delays_ms.pop_front();
        }
        self.delays_ms.push_back(delay_ms);
        self.samples = self.samples.saturating_add(1);
    }

    /// Returns the median of the latest delays.
    pub(super) fn delay(&self) -> Option<EncoderDelay> {
        let mut delays_ms: Vec<i64> = self.delays_ms.iter().copied().collect();
        delays_ms.sort_unstable();
        Some(EncoderDelay {
            delay_ms: *delays_ms.get(delays_ms.len().wrapping_div(2))?,
            clock: self.clock?,
            samples: self.samples,
        })
    }
}

fn delay(name: &[u8], value: &Value, unix_ms: i64) -> Option<(EncoderClock, i64)> {
    // Dates in onMetaData state when the recording was made or the encoder was built.
    if name == b"onMetaData" {
        return None;
    }
    let members = value.as_object()?;
    let absolute = absolute(members, unix_ms).map(|delay_ms| (EncoderClock::Absolute, delay_ms));
    absolute.or_else(|| {
        let is_frame_information = name.eq_ignore_ascii_case(b"onFI");
        let time = members.get("st").filter(|_| is_frame_information)?;
        let day_ms = time_of_day_ms(time.as_text()?)?;
        let delay_ms = since_time_of_day(day_ms, unix_ms);
        Some((EncoderClock::TimeOfDay, delay_ms))
    })
}

/// Returns the delay according to a time since 1970: a date, or a member with the name of a clock.
fn absolute(members: &Object, unix_ms: i64) -> Option<i64> {
    let mut times = members.iter().filter_map(|(name, value)| match value {
        Value::Date { unix_ms, .. } => Some(*unix_ms),
        value if is_clock(name) => unix_time(value),
        _ => None,
    });
    times.find_map(|time_ms| {
        let delay_ms = unix_ms as f64 - time_ms;
        (delay_ms.abs() <= MAX_DELAY_MS).then_some(delay_ms as i64)
    })
}

fn is_clock(name: &Text) -> bool {
    let name = name.as_bytes();
    let mut clocks = CLOCK_NAMES.iter();
    clocks.any(|clock| name.eq_ignore_ascii_case(clock.as_bytes()))
}

/// Returns milliseconds since 1970 of a number in seconds, milliseconds or microseconds, or of a text.
fn unix_time(value: &Value) -> Option<f64> {
    if let Some(text) = value.as_text() {
        let time: jiff::Timestamp = text.to_str_lossy().parse().ok()?;
        return Some(time.as_millisecond() as f64);
    }
    let number = value.as_number()?;
    // Of the three units, at most one gives a time after 1973 and before 5138.
    match number {
        1e8..1e11 => Some(number * 1000.0),
        1e11..1e14 => Some(number),
        1e14..1e17 => Some(number / 1000.0),
        _ => None,
    }
}

/// Parses `HH:MM:SS` with an optional fraction.
fn time_of_day_ms(text: &Text) -> Option<i64> {
    let text = text.to_str_lossy();
    let mut parts = text.trim().split(':');
    let mut number = |limit: f64| {
        let number: f64 = parts.next()?.parse().ok()?;
        (0.0..limit).contains(&number).then_some(number)
    };
    let (hours, minutes, seconds) = (number(24.0)?, number(60.0)?, number(61.0)?);
    let is_whole = hours.fract() == 0.0 && minutes.fract() == 0.0 && parts.next().is_none();
    let ms = ((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0;
    is_whole.then_some(ms as i64)
}

/// Returns the time since a local time of day. Time zones differ from UTC by a multiple of 15 minutes.
fn since_time_of_day(day_ms: i64, unix_ms: i64) -> i64 {
    let delay_ms = unix_ms.saturating_sub(day_ms);
    let shifted = delay_ms.saturating_add(MAX_CLOCK_ERROR_MS);
    shifted
        .rem_euclid(ZONE_STEP_MS)
        .saturating_sub(MAX_CLOCK_ERROR_MS)
}

/// Names of members with a time since 1970. Other numbers are not clocks.
const CLOCK_NAMES: [&str; 12] = [
    "clock",
    "epoch",
    "ntp",
    "ntptime",
    "ntptimestamp",
    "time",
    "timestamp",
    "unixtime",
    "utc",
    "utctime",
    "wallclock",
    "wallclocktime",
];

/// Largest delay of a plausible clock: one hour, so that dates and counters are not mistaken for clocks.
const MAX_DELAY_MS: f64 = 3_600_000.0;

/// Smallest difference between two time zones.
const ZONE_STEP_MS: i64 = 900_000;

/// Time by which the clock of an encoder may be fast: one minute.
const MAX_CLOCK_ERROR_MS: i64 = 60_000;

/// Number of delays of which the median is returned.
const LATEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29 08:00:00 UTC.
    const NOW: i64 = 1_795_939_200_000;

    fn delay_of(name: &str, members: &[(&str, Value)]) -> Option<(EncoderClock, i64)> {
        let members = members.iter().cloned().collect();
        delay(name.as_bytes(), &Value::Object(members), NOW)
    }

    #[test]
    fn clocks_are_found_in_any_form() {
        let absolute = Some((EncoderClock::Absolute, 1500));
        let ms = (NOW - 1500) as f64;
        let date = Value::Date {
            unix_ms: ms,
            zone_minutes: 0,
        };
        assert_eq!(delay_of("onClock", &[("x", date)]), absolute);
        assert_eq!(delay_of("onClock", &[("time", ms.into())]), absolute);
        assert_eq!(
            delay_of("onClock", &[("UTC", (ms / 1000.0).into())]),
            absolute
        );
        assert_eq!(
            delay_of("onClock", &[("ntp", (ms * 1000.0).into())]),
            absolute
        );
        let text = "2026-11-29T08:59:58.5+01:00";
        assert_eq!(
            delay_of("onTextData", &[("wallclock", text.into())]),
            absolute
        );
        let day = Some((EncoderClock::TimeOfDay, 1500));
        let fi = |st: &str| delay_of("onFI", &[("sd", "29-11-2026".into()), ("st", st.into())]);
        assert_eq!(fi("07:59:58.500"), day);
        assert_eq!(fi("13:29:58.500"), day);
        assert_eq!(fi("08:00:02"), Some((EncoderClock::TimeOfDay, -2000)));
    }

    #[test]
    fn other_values_are_not_clocks() {
        assert_eq!(
            delay_of("onMetaData", &[("time", (NOW as f64).into())]),
            None
        );
        for number in [0.0, -1.0, 1e10, 1e300, f64::NAN, f64::INFINITY, 5000.0] {
            assert_eq!(delay_of("onClock", &[("time", number.into())]), None);
        }
        assert_eq!(delay_of("onClock", &[("size", (NOW as f64).into())]), None);
        assert_eq!(delay_of("onClock", &[("time", "soon".into())]), None);
        for time in [
            "", "25:00:00", "1:2", "-1:00:00", "nan:0:0", "1:2:3:4", "1.5:0:0",
        ] {
            assert_eq!(delay_of("onFI", &[("st", time.into())]), None, "{time}");
        }
        assert_eq!(delay_of("onText", &[("st", "08:00:00".into())]), None);
    }

    #[test]
    fn delay_is_the_median_of_the_latest() {
        let mut delays = EncoderDelays::default();
        assert_eq!(delays.delay(), None);
        for at in 0..40 {
            let delay_ms = if at % 5 == 0 { 900_000 } else { 2000 };
            let members = [("time", ((NOW - delay_ms) as f64).into())];
            let members: Object = members
                .into_iter()
                .map(|(name, value): (&str, Value)| (name, value))
                .collect();
            delays.add(b"onClock", &Value::Object(members), NOW);
        }
        let delay = delays.delay().unwrap();
        assert_eq!((delay.delay_ms, delay.samples), (2000, 40));
        assert!(delays.delays_ms.len() <= LATEST);
    }
}
