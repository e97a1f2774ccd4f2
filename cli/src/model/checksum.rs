//! The checksums that the hub names its files by.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What a file's content has to hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256 of the content: a large file.
    Sha256(String),
    /// SHA-1 of the content behind git's header for a blob: a small file.
    GitBlob(String),
}

impl Checksum {
    /// The checksum in an entity tag, which the hub makes of it; none when the tag is another.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
        if !tag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let tag = tag.to_ascii_lowercase();
        match tag.len() {
            64 => Some(Self::Sha256(tag)),
            40 => Some(Self::GitBlob(tag)),
            _ => None,
        }
    }

    /// The expected value, in lower-case hexadecimal.
    pub fn value(&self) -> &str {
        let (Self::Sha256(value) | Self::GitBlob(value)) = self;
        value
    }

    /// Its name for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::GitBlob(_) => "git's SHA-1",
        }
    }

    /// Begins to hash a content of `bytes` bytes.
    pub fn begin(&self, bytes: u64) -> Digest {
        match self {
            Self::Sha256(_) => Digest::Sha256(Sha256::new()),
            Self::GitBlob(_) => {
                let header = format!("blob {bytes}\0");
                Digest::GitBlob(Sha1::new_with_prefix(header))
            }
        }
    }
}

/// A hash of what came so far.
#[derive(Clone, Debug)]
pub enum Digest {
    /// For [`Checksum::Sha256`].
    Sha256(Sha256),
    /// For [`Checksum::GitBlob`].
    GitBlob(Sha1),
}

impl Digest {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(piece),
            Self::GitBlob(digest) => digest.update(piece),
        }
    }

    /// The hash in lower-case hexadecimal.
    pub fn value(self) -> String {
        let bytes = match self {
            Self::Sha256(digest) => digest.finalize().to_vec(),
            Self::GitBlob(digest) => digest.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_apart_by_length() {
        let small = "ce013625030ba8dba906f756967f9e9ca394464a";
        let large = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let quoted = |tag: &str| format!("\"{tag}\"");
        let blob = Checksum::GitBlob(small.into());
        assert_eq!(Checksum::from_tag(&quoted(small)), Some(blob.clone()));
        assert_eq!(
            Checksum::from_tag(&format!("W/{}", quoted(small))),
            Some(blob)
        );
        let sha256 = Checksum::Sha256(large.into());
        assert_eq!(Checksum::from_tag(&large.to_uppercase()), Some(sha256));
        for bad in ["", "\"\"", "abc", &small[1..], &large.replace('5', "g")] {
            assert_eq!(Checksum::from_tag(bad), None, "{bad}");
        }
    }

    #[test]
    fn hashes_are_those_of_git_and_sha256sum() {
        // `printf 'hello\n' | git hash-object --stdin` and `| sha256sum`.
        for tag in [
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        ] {
            let checksum = Checksum::from_tag(tag).unwrap();
            let mut digest = checksum.begin(6);
            digest.update(b"hel");
            digest.update(b"lo\n");
            assert_eq!(digest.value(), checksum.value());
        }
    }
}
