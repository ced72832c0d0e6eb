//! Access to the text format for the fuzz targets.

use jiff::Timestamp;

use super::{Entry, find, update};
use crate::core::swf::Fingerprint;

/// Entry of a player: time of the last check in seconds, Last-Modified value, fingerprint.
pub type Player = (i64, String, Fingerprint);

/// Returns the entry for `key` in `text`, or an error if `text` is damaged.
pub fn look_up(text: &str, key: &str) -> Result<Option<Player>, ()> {
    let found = find(text, key).map_err(|_| ())?;
    Ok(found.map(|found| {
        let modified = found.entry.last_modified().unwrap_or_default().to_owned();
        let checked = found.entry.checked.as_second();
        (checked, modified, found.entry.fingerprint)
    }))
}

/// Returns `text` with this entry for `key`, or an error if `text` is damaged. The time is clamped to
/// the years that the format supports.
pub fn store(
    text: &str,
    key: &str,
    (checked, modified, fingerprint): &Player,
) -> Result<String, ()> {
    let entry = Entry {
        checked: Timestamp::from_second(*checked.min(&MAX_SECONDS).max(&0)).map_err(|_| ())?,
        modified: modified.clone(),
        fingerprint: *fingerprint,
    };
    update(text, key, &entry).map_err(|_| ())
}

/// End of the year 9999.
const MAX_SECONDS: i64 = 253_402_207_200;
