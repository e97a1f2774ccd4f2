//! Room codes and tokens from the system's randomness, and their comparison.

use fl_core::error::Fault;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Letters and digits that are not mistaken for each other when read aloud or from a board.
const ALPHABET: &[u8; 26] = b"ACDEFGHJKLMNPQRTUVWXY34679";
/// Characters of a room's code: 26⁶ codes are 3·10⁸.
const CODE_CHARACTERS: usize = 6;

/// Hash of an owner's token: what is stored instead of the secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerHash([u8; 32]);

impl OwnerHash {
    /// The hash of a token.
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// A stored hash.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the hash of `token`; takes the same time whatever the answer.
    pub(crate) fn matches(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }
}

/// A new room code.
pub(crate) fn room_code() -> Result<String, Fault> {
    // Bytes at or above the largest multiple of the alphabet's length would favour some letters.
    let fair = 256 - 256 % ALPHABET.len();
    let mut code = String::new();
    while code.len() < CODE_CHARACTERS {
        let bytes: [u8; 16] = random()?;
        let letters = bytes.iter().map(|&byte| usize::from(byte));
        let letters = letters.filter(|&byte| byte < fair);
        code.extend(letters.map(|byte| char::from(ALPHABET[byte % ALPHABET.len()])));
    }
    code.truncate(CODE_CHARACTERS);
    Ok(code)
}

/// A new token of 32 random bytes, in hexadecimal.
pub(crate) fn token() -> Result<String, Fault> {
    Ok(hexadecimal(&random::<32>()?))
}

/// A number from 1, drawn from all of 32 bits.
pub(crate) fn number() -> Result<u32, Fault> {
    random().map(|bytes| u32::from_le_bytes(bytes).max(1))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Fault::internal("The server has no source of randomness.")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_form_and_differ() {
        let codes: Vec<String> = (0..100).map(|_| room_code().unwrap()).collect();
        let is_code = |code: &String| {
            code.len() == CODE_CHARACTERS && code.bytes().all(|byte| ALPHABET.contains(&byte))
        };
        assert!(codes.iter().all(is_code));
        let distinct: std::collections::BTreeSet<&String> = codes.iter().collect();
        assert!(distinct.len() > 95);
    }

    #[test]
    fn owner_hash_matches_its_token_only() {
        let token = token().unwrap();
        assert_eq!(token.len(), 64);
        let hash = OwnerHash::of(&token);
        assert!(hash.matches(&token));
        assert!(!hash.matches(&token[1..]));
        assert!(!hash.matches(""));
    }
}
