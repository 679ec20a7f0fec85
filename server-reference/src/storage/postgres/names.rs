//! Texts as PostgreSQL can hold them, which is without NUL. It has the place of another control character, and that of two: what is
//! equal stays so, what comes before comes before, and what is joined is what its parts are joined to.

use std::borrow::Cow;

/// What stands for the two characters below, with one of them behind it.
const MARK: char = '\u{1}';
const NUL: char = '\u{1}';
const ITSELF: char = '\u{2}';

/// A text as it is stored.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => stored.extend([MARK, NUL]),
            MARK => stored.extend([MARK, ITSELF]),
            other => stored.push(other),
        }
    }
    Cow::Owned(stored)
}

/// The text of what is stored, if it is not that itself; an error if no text is stored so.
pub(super) fn text(stored: &str) -> Result<Option<String>, Misspelt> {
    if !stored.contains(MARK) {
        return Ok(None);
    }
    let (mut text, mut characters) = (String::with_capacity(stored.len()), stored.chars());
    while let Some(character) = characters.next() {
        text.push(match character {
            MARK => match characters.next() {
                Some(NUL) => '\0',
                Some(ITSELF) => MARK,
                _ => return Err(Misspelt),
            },
            other => other,
        });
    }
    Ok(Some(text))
}

/// A stored text is none that a server stores.
#[derive(Debug, thiserror::Error)]
#[error("a text has a control character that stands for nothing")]
pub(super) struct Misspelt;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_come_back_and_keep_their_order(
            a in "[\0\u{1}\u{2}\u{3}a\u{e9}]{0,6}", b in "[\0\u{1}\u{2}\u{3}a\u{e9}]{0,6}"
        ) {
            let back = text(&stored(&a)).unwrap().unwrap_or_else(|| stored(&a).into_owned());
            prop_assert_eq!(&back, &a);
            prop_assert!(!stored(&a).contains('\0'));
            prop_assert_eq!(stored(&a).as_bytes().cmp(stored(&b).as_bytes()), a.as_bytes().cmp(b.as_bytes()));
            let joined = [&*a, &*b].concat();
            prop_assert_eq!([stored(&a), stored(&b)].concat(), stored(&joined));
        }
    }

    #[test]
    fn what_no_server_stores_is_not_taken_for_something() {
        for bad in ["\u{1}", "a\u{1}b", "\u{1}\u{3}"] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }
}
