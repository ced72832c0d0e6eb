//! Shards: which process records a stream.

use std::{fmt, str::FromStr};

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One of several processes that share the streams of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of this process, from 0.
    index: u32,
    /// Number of processes.
    count: u32,
}

/// The value is not a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a shard such as 0/3: I counts from 0 to N-1, and N is at most {MAX_SHARDS}")]
pub struct InvalidShard;

impl Shard {
    /// Whether this process records the stream with this name.
    ///
    /// Rendezvous hashing: the stream belongs to the shard with the highest hash of its number and the name. A new
    /// shard therefore takes streams from the others, and no stream moves between the others.
    pub fn takes(self, name: &str) -> bool {
        let weight = |shard: u32| xxh3_64_with_seed(name.as_bytes(), shard.into());
        let highest = (0..self.count).max_by_key(|shard| (weight(*shard), *shard));
        highest == Some(self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let (index, count) = text.split_once('/').ok_or(InvalidShard)?;
        let [index, count] = [index, count].map(|text| text.parse().map_err(|_| InvalidShard));
        let (index, count) = (index?, count?);
        match index < count && count <= MAX_SHARDS {
            true => Ok(Self { index, count }),
            false => Err(InvalidShard),
        }
    }
}

/// Largest number of shards, which bounds the work per stream.
const MAX_SHARDS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(name: &str, count: u32) -> u32 {
        let shards = (0..count).map(|index| Shard { index, count });
        let owners: Vec<_> = shards.filter(|shard| shard.takes(name)).collect();
        assert_eq!(owners.len(), 1, "{name} in {count} shards");
        owners[0].index
    }

    #[test]
    fn shards_count_from_0() {
        assert_eq!("0/1".parse(), Ok(Shard { index: 0, count: 1 }));
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for text in ["", "1", "3/3", "0/0", "-1/3", "0/10001", "1/2/3", "a/b"] {
            assert_eq!(text.parse::<Shard>(), Err(InvalidShard), "{text}");
        }
    }

    proptest! {
        #[test]
        fn streams_move_only_to_a_new_shard(name in "\\PC{1,40}", count in 1u32..40) {
            let (before, after) = (owner(&name, count), owner(&name, count + 1));
            prop_assert!(after == before || after == count, "{} to {}", before, after);
        }
    }

    #[test]
    fn shards_take_equal_shares() {
        let names: Vec<_> = (0..3_000)
            .map(|number| format!("camera-{number}"))
            .collect();
        for count in [2, 3, 7] {
            let mut shares = vec![0; count as usize];
            let mut moved = 0;
            for name in &names {
                let shard = owner(name, count);
                shares[shard as usize] += 1;
                moved += usize::from(owner(name, count + 1) != shard);
            }
            let expected = names.len() as f64 / f64::from(count);
            for share in &shares {
                let ratio = f64::from(*share) / expected;
                assert!((0.85..1.15).contains(&ratio), "{shares:?}");
            }
            let ratio = moved as f64 * f64::from(count + 1) / names.len() as f64;
            assert!(
                (0.85..1.15).contains(&ratio),
                "{moved} moved to shard {count}"
            );
        }
    }
}
