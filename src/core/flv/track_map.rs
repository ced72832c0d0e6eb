//! Language and name of tracks, from `onMetaData`.

use super::{TagKind, TrackId};
use crate::core::amf::{Object, Value};

/// Language and name of a track, as far as the server sent them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackDescription {
    /// Code of the language with three letters (ISO 639-2/T).
    pub language: Option<[u8; 3]>,
    /// Name for people.
    pub name: Option<String>,
}

/// Descriptions of all tracks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackDescriptions {
    tracks: Vec<(TrackId, TrackDescription)>,
}

impl TrackDescriptions {
    /// Adds the descriptions in the fields of an `onMetaData` (E-RTMP "Enhancing onMetaData"), and replaces
    /// those of the same tracks.
    ///
    /// E-RTMP does not name the members for language and name. `language`, `lang`, `title`, `name` and `label`
    /// are read.
    pub fn merge(&mut self, fields: &Object) {
        for (kind, name) in MAPS {
            let map = fields.get(name).and_then(Value::as_object);
            for (key, value) in map.into_iter().flatten() {
                let id = key.to_str_lossy().parse().ok();
                if let (Some(id), Some(members)) = (id, value.as_object()) {
                    self.set(TrackId { kind, id }, TrackDescription::of(members));
                }
            }
        }
    }

    /// Returns the description of a track.
    pub fn get(&self, track: TrackId) -> Option<&TrackDescription> {
        let found = self.tracks.iter().find(|(id, _)| *id == track);
        found.map(|(_, description)| description)
    }

    fn set(&mut self, track: TrackId, description: TrackDescription) {
        match self.tracks.iter_mut().find(|(id, _)| *id == track) {
            Some((_, old)) => *old = description,
            None => self.tracks.push((track, description)),
        }
    }
}

impl TrackDescription {
    fn of(members: &Object) -> Self {
        let text = |names: &[&str]| {
            let mut texts = names.iter().filter_map(|name| members.get(name)?.as_text());
            texts.find(|text| !text.is_empty())
        };
        let language = text(&["language", "lang"]);
        let name = text(&["title", "name", "label"]);
        Self {
            language: language.and_then(|text| language_code(text.as_bytes())),
            name: name.map(|text| {
                let text = text.to_str_lossy();
                let printable = text.chars().filter(|c| !c.is_control());
                printable.take(MAX_NAME).collect()
            }),
        }
    }
}

/// Returns the code of a language tag (BCP 47) with three letters.
fn language_code(tag: &[u8]) -> Option<[u8; 3]> {
    let mut subtags = tag.split(|byte| !byte.is_ascii_alphabetic());
    let primary = subtags.next()?.to_ascii_lowercase();
    match primary[..] {
        [a, b, c] => Some([a, b, c]),
        [a, b] => {
            let known = LANGUAGES.iter().find(|(short, _)| **short == [a, b]);
            known.map(|(_, long)| **long)
        }
        _ => None,
    }
}

/// Fields of `onMetaData` that describe the tracks of a kind.
pub(super) const MAPS: [(TagKind, &str); 2] = [
    (TagKind::VIDEO, VIDEO_TRACK_MAP),
    (TagKind::AUDIO, AUDIO_TRACK_MAP),
];

/// Largest number of characters in a name.
const MAX_NAME: usize = 250;

/// Codes of usual languages with two and three letters (ISO 639).
const LANGUAGES: [(&[u8; 2], &[u8; 3]); 44] = [
    (b"ar", b"ara"),
    (b"bg", b"bul"),
    (b"bn", b"ben"),
    (b"ca", b"cat"),
    (b"cs", b"ces"),
    (b"cy", b"cym"),
    (b"da", b"dan"),
    (b"de", b"deu"),
    (b"el", b"ell"),
    (b"en", b"eng"),
    (b"es", b"spa"),
    (b"et", b"est"),
    (b"eu", b"eus"),
    (b"fa", b"fas"),
    (b"fi", b"fin"),
    (b"fr", b"fra"),
    (b"ga", b"gle"),
    (b"gl", b"glg"),
    (b"he", b"heb"),
    (b"hi", b"hin"),
    (b"hr", b"hrv"),
    (b"hu", b"hun"),
    (b"id", b"ind"),
    (b"is", b"isl"),
    (b"it", b"ita"),
    (b"ja", b"jpn"),
    (b"ko", b"kor"),
    (b"lt", b"lit"),
    (b"lv", b"lav"),
    (b"nb", b"nob"),
    (b"nl", b"nld"),
    (b"no", b"nor"),
    (b"pl", b"pol"),
    (b"pt", b"por"),
    (b"ro", b"ron"),
    (b"ru", b"rus"),
    (b"sk", b"slk"),
    (b"sl", b"slv"),
    (b"sr", b"srp"),
    (b"sv", b"swe"),
    (b"tr", b"tur"),
    (b"uk", b"ukr"),
    (b"vi", b"vie"),
    (b"zh", b"zho"),
];

/// Field of `onMetaData` that describes video tracks by id (E-RTMP "Enhancing onMetaData").
pub const VIDEO_TRACK_MAP: &str = "videoTrackIdInfoMap";

/// Field of `onMetaData` that describes audio tracks by id.
pub const AUDIO_TRACK_MAP: &str = "audioTrackIdInfoMap";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_and_names_of_tracks_are_read() {
        let track = |members: &[(&str, &str)]| Object::from_iter(members.iter().copied());
        let audio = Object::from_iter([
            ("1", track(&[("lang", "de-CH"), ("label", "Kommentar\n")])),
            ("2", track(&[("language", "FRA"), ("title", "")])),
            ("300", track(&[("lang", "en")])),
        ]);
        let mut fields = Object::from_iter([(AUDIO_TRACK_MAP, audio)]);
        fields.push(VIDEO_TRACK_MAP, "not a map");
        let mut tracks = TrackDescriptions::default();
        tracks.merge(&fields);
        let audio = |id| TrackId {
            kind: TagKind::AUDIO,
            id,
        };
        let expected = TrackDescription {
            language: Some(*b"deu"),
            name: Some("Kommentar".to_owned()),
        };
        assert_eq!(tracks.get(audio(1)), Some(&expected));
        let french = tracks.get(audio(2)).unwrap();
        assert_eq!(
            (french.language, french.name.as_deref()),
            (Some(*b"fra"), None)
        );
        assert_eq!(tracks.tracks.len(), 2);
        let again = Object::from_iter([("2", track(&[("name", "Commentaire")]))]);
        tracks.merge(&Object::from_iter([(AUDIO_TRACK_MAP, again)]));
        let french = tracks.get(audio(2)).unwrap();
        assert_eq!(
            (french.language, french.name.as_deref()),
            (None, Some("Commentaire"))
        );
    }

    #[test]
    fn language_tags_have_two_or_three_letters() {
        for (tag, code) in [
            (&b"en"[..], Some(b"eng")),
            (b"en-US", Some(b"eng")),
            (b"pt_BR", Some(b"por")),
            (b"deu", Some(b"deu")),
            (b"xx", None),
            (b"english", None),
            (b"", None),
            (b"\xFFen", None),
        ] {
            assert_eq!(language_code(tag), code.copied(), "{tag:?}");
        }
    }
}
