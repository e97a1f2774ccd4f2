//! The password that a server may ask of those who open rooms.

use crate::secrets::OwnerHash;

/// Fewest and most characters.
const CHARACTERS: std::ops::RangeInclusive<usize> = 8..=256;

/// A password; only its hash is held.
#[derive(Clone, Debug)]
pub struct Password(OwnerHash);

/// A text that cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a password has {} to {} characters, all of them ASCII letters, digits or signs, because it travels in a header",
    CHARACTERS.start(),
    CHARACTERS.end()
)]
pub struct NoPassword;

impl Password {
    /// The password that a file or variable holds; the end of its line does not count.
    ///
    /// # Errors
    /// [`NoPassword`] when a header cannot carry it, or it is too short.
    pub fn new(text: &str) -> Result<Self, NoPassword> {
        let text = text.trim_end_matches(['\r', '\n']);
        let graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
        match graphic && CHARACTERS.contains(&text.len()) {
            true => Ok(Self(OwnerHash::of(text))),
            false => Err(NoPassword),
        }
    }

    /// Whether this is it; takes the same time whatever the answer.
    pub(crate) fn matches(&self, given: &str) -> bool {
        self.0.matches(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_the_line_does_not_count() {
        let password = Password::new("correct-horse\r\n").unwrap();
        assert!(password.matches("correct-horse"));
        assert!(!password.matches("correct-horse\n"));
        assert!(!password.matches(""));
    }

    #[test]
    fn what_no_header_carries_is_refused() {
        for text in ["", "short", "with a space", "pässwörter", "two\nlines-here"] {
            assert_eq!(Password::new(text).unwrap_err(), NoPassword, "{text}");
        }
    }
}
