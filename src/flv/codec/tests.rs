use std::fmt::Debug;

/// What `parse` makes of `bytes`, having checked that of each beginning of them it makes the same or
/// nothing.
pub(super) fn when_cut<'a, T: PartialEq + Debug>(
    bytes: &'a [u8],
    parse: impl Fn(&'a [u8]) -> Option<T>,
) -> Option<T> {
    let whole = parse(bytes);
    for length in 0..bytes.len() {
        let cut = parse(&bytes[..length]);
        assert!(
            cut.is_none() || cut == whole,
            "{cut:?} of {length} bytes, {whole:?} of all"
        );
    }
    whole
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|digit| (digit as char).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    assert_eq!(digits.len(), text.len(), "{text}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
