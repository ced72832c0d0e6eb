//! Days since 1 January 1970 ⇄ dates of the Gregorian calendar.

/// Year, month and day, `days` after 1 January 1970. Years are counted from March here, so that the
/// leap day is their last one, and in eras of 400, which are all alike.
pub fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_UP_TO_1970;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / (DAYS_OF_ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March or August on have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (400 * era + year + next_year, month, day)
}

/// The inverse of [`date`], from 1970 on; months and days count from 1.
pub fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let (era, year) = (year / 400, year % 400);
    let day = (153 * month + 2) / 5 + day - 1;
    let day = 365 * year + year / 4 - year / 100 + day;
    era * DAYS_OF_ERA + day - DAYS_UP_TO_1970
}

/// From 1 March of the year 0 to 1 January 1970.
const DAYS_UP_TO_1970: u64 = 719_468;

/// Days in 400 years.
const DAYS_OF_ERA: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_one_date() {
        let mut last = (1969, 12, 31);
        for day in 0..days(2401, 1, 1) {
            let date = date(day);
            assert_eq!(days(date.0, date.1, date.2), day);
            assert!(date > last);
            last = date;
        }
        assert_eq!(last, (2400, 12, 31));
    }
}
