//! From bytes to tokens.

use super::read::ReadError;

/// A place in a text.
pub(super) struct Scanner<'de> {
    text: &'de str,
    at: usize,
}

/// A string's content, with its escapes resolved if it has any.
pub(super) enum Text<'de> {
    Borrowed(&'de str),
    Owned(String),
}

impl<'de> Scanner<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { text, at: 0 }
    }

    /// How far it has come, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space; it is not taken.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes the byte if it is next.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes the byte.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), ReadError> {
        if self.takes(byte) { Ok(()) } else { Err(ReadError::syntax()) }
    }

    /// Takes a word such as `null`.
    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// A whole number: whether it is negative, and its amount.
    pub(super) fn integer(&mut self) -> Result<(bool, u64), ReadError> {
        let negative = self.takes(b'-');
        let start = self.at;
        let mut amount = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            let longer = amount.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
            amount = longer.ok_or_else(ReadError::syntax)?;
            self.at += 1;
        }
        let zero_first = self.text.as_bytes().get(start) == Some(&b'0');
        let fraction = matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        if self.at == start || fraction || (zero_first && (negative || self.at > start + 1)) {
            return Err(ReadError::syntax());
        }
        Ok((negative, amount))
    }

    /// A string.
    pub(super) fn string(&mut self) -> Result<Text<'de>, ReadError> {
        self.take(b'"')?;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            match self.byte() {
                Some(b'"') => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Text::Borrowed(rest),
                        Some(text) => Text::Owned(text + rest),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    text.push(self.escape()?);
                    start = self.at;
                }
                Some(b' '..) => self.at += 1,
                _ => return Err(ReadError::syntax()),
            }
        }
    }

    /// What stands for a character after a backslash.
    fn escape(&mut self) -> Result<char, ReadError> {
        let byte = self.byte();
        self.at += 1;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.unit()?;
                // Beyond U+FFFF a character is a pair of units; half a pair is none.
                let code = if (0xd800..0xdc00).contains(&unit) {
                    if !(self.takes_word("\\u")) {
                        return Err(ReadError::syntax());
                    }
                    let low = self.unit()?.wrapping_sub(0xdc00);
                    if low >= 0x400 {
                        return Err(ReadError::syntax());
                    }
                    0x1_0000 + ((unit - 0xd800) << 10) + low
                } else {
                    unit
                };
                char::from_u32(code).ok_or_else(ReadError::syntax)?
            }
            _ => return Err(ReadError::syntax()),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, ReadError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            unit = (unit << 4) | digit.ok_or_else(ReadError::syntax)?;
            self.at += 1;
        }
        Ok(unit)
    }

    /// Any value, as it is written.
    pub(super) fn raw(&mut self) -> Result<&'de str, ReadError> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Recursion is limited by the depth of the whole text, which was checked before.
    fn skip(&mut self) -> Result<(), ReadError> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            Some(b'[') => self.skip_items(b'[', b']'),
            Some(b'{') => self.skip_items(b'{', b'}'),
            _ if ["null", "true", "false"].iter().any(|word| self.takes_word(word)) => Ok(()),
            _ => Err(ReadError::syntax()),
        }
    }

    fn skip_items(&mut self, open: u8, close: u8) -> Result<(), ReadError> {
        self.take(open)?;
        if self.takes(close) {
            return Ok(());
        }
        loop {
            if open == b'{' {
                self.peek();
                self.skip_string()?;
                self.take(b':')?;
            }
            self.skip()?;
            if !self.takes(b',') {
                return self.take(close);
            }
        }
    }

    /// Half a pair may pass here: the text goes on as it is.
    fn skip_string(&mut self) -> Result<(), ReadError> {
        self.take(b'"')?;
        loop {
            let byte = self.byte();
            self.at += 1;
            match byte {
                Some(b'"') => return Ok(()),
                Some(b'\\') => {
                    let escape = self.byte();
                    self.at += 1;
                    match escape {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                        Some(b'u') => drop(self.unit()?),
                        _ => return Err(ReadError::syntax()),
                    }
                }
                Some(b' '..) => {}
                _ => return Err(ReadError::syntax()),
            }
        }
    }

    fn skip_number(&mut self) -> Result<(), ReadError> {
        self.takes(b'-');
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(ReadError::syntax()) }
    }
}
