//! Diffie-Hellman key exchange.
//!
//! The group is the 1024-bit MODP group of RFC 2409, section 6.2, with generator 2.

use std::{cmp::Ordering, fmt};

use crypto_bigint::{
    U1024, const_monty_params,
    modular::{ConstMontyForm, ConstMontyParams},
};
use rand::Rng;
use thiserror::Error;

/// Length of a public key and of a secret, big-endian with leading zeros.
pub const KEY_LEN: usize = 128;

/// A private exponent and its public key.
pub struct KeyPair {
    private: U1024,
    public: [u8; KEY_LEN],
}

/// The peer's public key is not valid. Accepting it could force a secret that others can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a valid public key of the 1024-bit group")]
pub struct InvalidPublicKey;

impl KeyPair {
    /// Draws an exponent of full size from `rng`.
    pub fn new(rng: &mut (impl Rng + ?Sized)) -> Self {
        let mut exponent = [0; KEY_LEN];
        rng.fill_bytes(&mut exponent);
        let private = U1024::from_be_slice(&exponent);
        Self {
            public: to_bytes(&Element::new(&GENERATOR).pow(&private)),
            private,
        }
    }

    /// Returns the public key to send to the peer.
    pub fn public(&self) -> &[u8; KEY_LEN] {
        &self.public
    }

    /// Returns the secret shared with the owner of `public`. The time does not depend on the
    /// exponent.
    pub fn secret(&self, public: &[u8; KEY_LEN]) -> Result<[u8; KEY_LEN], InvalidPublicKey> {
        Ok(to_bytes(&validate(public)?.pow(&self.private)))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

/// Checks that a public key lies between 2 and p - 2 and in the subgroup of order q = (p - 1) / 2,
/// like all powers of the generator. Other values reveal bits of the exponent or force a known
/// secret.
fn validate(public: &[u8; KEY_LEN]) -> Result<Element, InvalidPublicKey> {
    let number = U1024::from_be_slice(public);
    let is_above_1 = number.cmp(&U1024::ONE) == Ordering::Greater;
    let is_below_p_minus_1 = number.cmp(&P_MINUS_1) == Ordering::Less;
    if !is_above_1 || !is_below_p_minus_1 {
        return Err(InvalidPublicKey);
    }
    let element = Element::new(&number);
    if element.pow_vartime(&ORDER) != Element::ONE {
        return Err(InvalidPublicKey);
    }
    Ok(element)
}

fn to_bytes(element: &Element) -> [u8; KEY_LEN] {
    element.retrieve().to_be_bytes().into()
}

/// A number modulo p.
type Element = ConstMontyForm<Group, { U1024::LIMBS }>;

const_monty_params!(
    Group,
    U1024,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
     EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    "The prime of RFC 2409, 6.2"
);

/// The generator of the group.
const GENERATOR: U1024 = U1024::from_u8(2);

/// p - 1. As a public key it would force the secret to be 1 or p - 1.
const P_MINUS_1: U1024 = Group::PARAMS.modulus().as_ref().wrapping_sub(&U1024::ONE);

/// q, the order of the subgroup.
const ORDER: U1024 = P_MINUS_1.shr_vartime(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn pair(private: [u8; KEY_LEN]) -> KeyPair {
        let private = U1024::from_be_slice(&private);
        KeyPair {
            public: to_bytes(&Element::new(&GENERATOR).pow(&private)),
            private,
        }
    }

    /// The expected values were computed with Python's `pow`.
    #[test]
    fn key_and_secret_vectors_match() {
        let ours = pair(std::array::from_fn(|i| (7 * i + 3) as u8));
        let theirs = pair(std::array::from_fn(|i| (11 * i + 5) as u8));
        assert_eq!(
            hex(ours.public()),
            "7b1d7d3188d79522e49e1ef8a54a32403fa559965ff46561a8d12fc1f79273e7\
             0b2c6ea601992ec15910b87dffa610904bdbc2bdd35b13c95a0d7cb40a0d6272\
             0f4a904259982b507d9981f4eedb7371db1336d26e29d58e2d2da00d7928a64c\
             adc4eb683c04df21ac4f5f71174805326a640a789679de2fc1b3ed28d2c9ba71"
        );
        let secret = "86d085191299d79930bcf8c91f1c28649b45b28c1be63ab8c5a3ad6270a1868e\
             08e860b516f62fd7dcb0eceace614a3e0a39329cea32e7a37eb8ec72030dfe90\
             648b8049b15c1cc5537427040dd8d401be9704404c80160063079f7cefa844e6\
             a58d13505569fae3034b2f20a2b7dd42a92d3ee237393001509e4fd0fc85f2a2";
        assert_eq!(hex(&ours.secret(theirs.public()).unwrap()), secret);
        assert_eq!(hex(&theirs.secret(ours.public()).unwrap()), secret);
    }

    #[test]
    fn unsafe_public_keys_are_rejected() {
        let pair = KeyPair::new(&mut StdRng::seed_from_u64(1));
        let modulus = Group::PARAMS.modulus().as_ref();
        let wrong = [
            U1024::ZERO,
            U1024::ONE,
            modulus.wrapping_sub(&U1024::ONE),
            *modulus,
            modulus.wrapping_add(&U1024::ONE),
            modulus.wrapping_add(&U1024::from_u8(2)),
            U1024::MAX,
            // Both are outside of the subgroup.
            U1024::from_u8(5),
            modulus.wrapping_sub(&U1024::from_u8(2)),
        ];
        for number in wrong {
            let public = number.to_be_bytes().into();
            assert_eq!(pair.secret(&public), Err(InvalidPublicKey), "{number}");
        }
        for number in [U1024::from_u8(2), modulus.wrapping_sub(&U1024::from_u8(5))] {
            let public = number.to_be_bytes().into();
            assert!(pair.secret(&public).is_ok(), "{number}");
        }
    }

    #[test]
    fn debug_output_hides_the_exponent() {
        let pair = KeyPair::new(&mut StdRng::seed_from_u64(1));
        assert_eq!(format!("{pair:?}"), "KeyPair { .. }");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn both_peers_compute_the_same_secret(seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let (ours, theirs) = (KeyPair::new(&mut rng), KeyPair::new(&mut rng));
            prop_assert_ne!(ours.public(), theirs.public());
            prop_assert_eq!(ours.secret(theirs.public()), theirs.secret(ours.public()));
        }
    }
}
