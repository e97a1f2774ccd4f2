//! A server's addresses: where its socket, model files and texts are.

use fl_core::error::Fault;

use crate::faults;

/// A server's origin, e.g. `http://127.0.0.1:8080`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Takes an origin, or an address below it, of which the rest is dropped.
    ///
    /// # Errors
    /// A fault for the person unless it begins with `http://` or `https://` and names a host.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = || faults::bad_origin(text);
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(bad)?;
        let scheme = scheme.to_ascii_lowercase();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '@' || c == '\\';
        if !matches!(scheme.as_str(), "http" | "https") || host.is_empty() || host.contains(strange)
        {
            return Err(bad());
        }
        Ok(Self(format!("{scheme}://{host}")))
    }

    /// The address of the room's socket: `ws` for `http`, `wss` for `https`.
    pub fn socket(&self) -> String {
        // "http" and "https" both become the matching scheme of sockets this way.
        format!("ws{}/ws", &self.0["http".len()..])
    }

    /// The address of a model's file.
    pub fn model_file(&self, model: &str, file: &str) -> String {
        let (model, file) = (segment(model), segment(file));
        format!("{}/api/models/{model}/{file}", self.0)
    }

    /// The address of a corpus's texts to train on.
    pub fn corpus(&self, name: &str) -> String {
        format!("{}/api/corpora/{}/train.csv", self.0, segment(name))
    }
}

/// One part of a path, with everything but plain characters in percent form.
fn segment(name: &str) -> String {
    let mut coded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => coded.push(byte.into()),
            // A dot is plain, but "." and ".." would name other folders.
            b'.' if !name.trim_matches('.').is_empty() => coded.push('.'),
            _ => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_origin() {
        let origin = Origin::parse("http://127.0.0.1:8080/r/ABCD?x#y").unwrap();
        assert_eq!(origin.socket(), "ws://127.0.0.1:8080/ws");
        let secure = Origin::parse("HTTPS://lp.example").unwrap();
        assert_eq!(secure.socket(), "wss://lp.example/ws");
        assert_eq!(
            secure.corpus("reviews"),
            "https://lp.example/api/corpora/reviews/train.csv"
        );
        assert_eq!(
            secure.model_file("my model", "config.json"),
            "https://lp.example/api/models/my%20model/config.json"
        );
        assert_eq!(
            secure.model_file("..", "../é"),
            "https://lp.example/api/models/%2E%2E/..%2F%C3%A9"
        );
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "localhost:8080",
            "ftp://a",
            "http://",
            "http:// a",
            "http://a@b",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
