//! A pattern taken apart into its places and the words between them.

/// Where the text goes in a pattern.
pub const TEXT: &str = "{text}";
/// Where the second text goes in a pattern of a task that has two.
pub const TEXT_2: &str = "{text_2}";
/// Where the model's mask token goes in a pattern.
pub const MASK: &str = "{mask}";

/// One piece of a pattern, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Words of the pattern itself, never empty.
    Words(&'a str),
    /// The place of a text: 0 for `{text}`, 1 for `{text_2}`.
    Text(usize),
    /// `{mask}`
    Mask,
}

/// The pieces of the pattern of a task with this many texts; what was expected where a place is
/// missing, doubled or not the task's.
pub(super) fn pieces(pattern: &str, texts: usize) -> Result<Vec<Piece<'_>>, String> {
    let places = [
        (MASK, Piece::Mask, true),
        (TEXT, Piece::Text(0), true),
        (TEXT_2, Piece::Text(1), texts > 1),
    ];
    let wanted = |(place, _, wanted): &(&str, Piece<'_>, bool)| {
        pattern.matches(place).count() == usize::from(*wanted)
    };
    if !places.iter().all(wanted) {
        return Err(match texts {
            2 => format!("{TEXT}, {TEXT_2} and {MASK}, once each"),
            _ => format!("{TEXT} and {MASK}, once each, as the task has one column of texts"),
        });
    }
    let mut found: Vec<_> = places
        .into_iter()
        .filter_map(|(place, piece, _)| Some((pattern.find(place)?, place.len(), piece)))
        .collect();
    found.sort_by_key(|(start, ..)| *start);
    let (mut pieces, mut end) = (Vec::new(), 0);
    for (start, length, piece) in found {
        pieces.extend(words(&pattern[end..start]));
        pieces.push(piece);
        end = start + length;
    }
    pieces.extend(words(&pattern[end..]));
    Ok(pieces)
}

fn words(part: &str) -> Option<Piece<'_>> {
    (!part.is_empty()).then_some(Piece::Words(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pattern_is_taken_apart_in_any_order() {
        use Piece::{Mask, Text, Words};
        assert_eq!(
            pieces("a {text} b {mask} c", 1).unwrap(),
            [Words("a "), Text(0), Words(" b "), Mask, Words(" c")]
        );
        assert_eq!(
            pieces("{mask} News: {text}", 1).unwrap(),
            [Mask, Words(" News: "), Text(0)]
        );
        assert_eq!(
            pieces("{text_2} ? {mask} , {text}", 2).unwrap(),
            [Text(1), Words(" ? "), Mask, Words(" , "), Text(0)]
        );
    }

    #[test]
    fn a_place_that_is_missing_doubled_or_too_many_is_refused() {
        for (pattern, texts) in [
            ("{text} it was", 1),
            ("{mask}", 1),
            ("{text} {mask} {mask}", 1),
            ("{text} {text} {mask}", 1),
            ("{text} {text_2} {mask}", 1),
            ("{text} {mask}", 2),
            ("{text_2} {mask}", 2),
        ] {
            assert!(pieces(pattern, texts).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_pattern(pattern in r"(\{text\}|\{mask\}|\{text_2\}|\PC){0,12}") {
            for texts in [1, 2] {
                let Ok(pieces) = pieces(&pattern, texts) else { continue };
                let spell = |piece: &Piece<'_>| match piece {
                    Piece::Words(words) => (*words).to_owned(),
                    Piece::Text(0) => TEXT.into(),
                    Piece::Text(_) => TEXT_2.into(),
                    Piece::Mask => MASK.into(),
                };
                let joined: String = pieces.iter().map(spell).collect();
                prop_assert_eq!(&joined, &pattern);
            }
        }
    }
}
