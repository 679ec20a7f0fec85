//! A reader that walks through JSON text once.

use std::borrow::Cow;

use super::Slot;

/// Arrays and objects inside one another that are read at most.
pub const MAX_NESTING: usize = 44;

/// Why a text cannot be read, and where. Small, because every value that is read may be one instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{} at byte {}", .0.before, .0.problem, .0.at)]
pub struct Bad(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    /// What is said before the problem, so that a page does not download it once for each field.
    before: &'static str,
    problem: &'static str,
    at: usize,
    too_deep: bool,
}

impl Bad {
    /// Whether it is nested too deep, and perhaps otherwise right.
    pub fn is_too_deep(&self) -> bool {
        self.0.too_deep
    }
}

/// A place in a text.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// The depth allowed here.
    most: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, most: MAX_NESTING }
    }

    /// An error at this place.
    #[cold]
    #[inline(never)]
    pub fn bad(&self, problem: &'static str) -> Bad {
        self.problem("", problem)
    }

    /// A field that is required is not there.
    #[cold]
    #[inline(never)]
    pub fn missing(&self, field: &'static str) -> Bad {
        self.problem("there is no field ", field)
    }

    fn problem(&self, before: &'static str, problem: &'static str) -> Bad {
        Bad(Box::new(Details { before, problem, at: self.at, too_deep: self.depth > self.most }))
    }

    /// Where the next value begins, for [`since`](Self::since).
    pub fn place(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The next byte that is no white space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Takes a byte if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        // Between the tokens of what we write is no white space.
        if self.text.as_bytes().get(self.at) == Some(&byte) {
            self.at += 1;
            return true;
        }
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes a text that comes next as it is, without white space before it; what stands within our own texts in one way
    /// only is passed over so in one step.
    pub fn literal(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Takes a whole number of so many digits at most that comes next as we write it; nothing of another value.
    pub fn digits(&mut self, most: usize) -> Option<u64> {
        let rest = self.rest();
        let (mut number, mut count) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(count) {
            number = number * 10 + u64::from(digit - b'0');
            count += 1;
            if count > most {
                return None;
            }
        }
        if count == 0 || (count > 1 && rest[0] == b'0') {
            return None;
        }
        self.at += count;
        Some(number)
    }

    /// Takes a string that comes next and has no escapes; nothing of another value.
    pub fn unescaped(&mut self) -> Option<&'a str> {
        let inside = self.rest().strip_prefix(b"\"")?;
        let start = self.at + 1;
        let end = start + plain_run(inside);
        let found = self.text.as_bytes().get(end) == Some(&b'"');
        let text = self.text.get(start..end).filter(|_| found)?;
        self.at = end + 1;
        Some(text)
    }

    /// Nothing but white space is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&mut self) -> Result<(), Bad> {
        if self.peek().is_none() { Ok(()) } else { Err(self.bad("text goes on after the value")) }
    }

    /// Reads an object; `field` is called with each name and reads the value.
    ///
    /// # Errors
    /// No object, or what `field` says.
    pub fn object(&mut self, field: &mut dyn FnMut(&mut Self, &str) -> Result<(), Bad>) -> Result<(), Bad> {
        self.open(b'{', "an object was expected")?;
        if !self.take(b'}') {
            loop {
                let name = self.string()?;
                if !self.take(b':') {
                    return Err(self.bad("a colon was expected"));
                }
                field(self, &name)?;
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.bad("a comma was expected"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an object whose fields are known by name, each into its slot. Other fields are passed over.
    ///
    /// # Errors
    /// No object, a name that comes twice, or what a slot says.
    pub fn record(&mut self, fields: &mut [(&str, &mut dyn Slot)]) -> Result<(), Bad> {
        self.object(&mut |reader, name| match fields.iter_mut().find(|(key, _)| *key == name) {
            Some((_, slot)) => slot.fill(reader),
            None => reader.skip().map(drop),
        })
    }

    /// Reads an array; `item` reads each of its values.
    ///
    /// # Errors
    /// No array, or what `item` says.
    pub fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<(), Bad>) -> Result<(), Bad> {
        self.open(b'[', "an array was expected")?;
        if !self.take(b']') {
            loop {
                item(self)?;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.bad("a comma was expected"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn open(&mut self, byte: u8, problem: &'static str) -> Result<(), Bad> {
        if !self.take(byte) {
            return Err(self.bad(problem));
        }
        self.depth += 1;
        if self.depth > self.most {
            return Err(self.bad("nested too deep"));
        }
        Ok(())
    }

    /// Reads a string.
    ///
    /// # Errors
    /// No string, or one that is not well-formed Unicode.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Bad> {
        if !self.take(b'"') {
            return Err(self.bad("a string was expected"));
        }
        let text = self.text;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut copied = start;
        loop {
            match text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let so_far = self.since(copied);
                    let unescaped = owned.get_or_insert_default();
                    unescaped.push_str(so_far);
                    let c = self.escape()?;
                    owned.get_or_insert_default().push(c);
                    copied = self.at;
                }
                Some(0..=0x1f) | None => return Err(self.bad("a string does not end")),
                Some(_) => self.at += plain_run(self.rest()),
            }
        }
        let rest = self.since(copied);
        self.at += 1;
        Ok(match owned {
            None => Cow::Borrowed(rest),
            Some(mut unescaped) => {
                unescaped.push_str(rest);
                Cow::Owned(unescaped)
            }
        })
    }

    /// Reads an escape, standing at its backslash.
    fn escape(&mut self) -> Result<char, Bad> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match kind {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hexadecimal()?;
                let is_pair = (0xd800..0xdc00).contains(&high) && self.rest().starts_with(b"\\u");
                let code = if is_pair {
                    self.at += 2;
                    let low = self.hexadecimal()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.bad("not a character"));
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                char::from_u32(code).ok_or_else(|| self.bad("not a character"))?
            }
            _ => return Err(self.bad("not an escape")),
        })
    }

    fn hexadecimal(&mut self) -> Result<u32, Bad> {
        let digits =
            self.text.as_bytes().get(self.at..self.at + 4).ok_or_else(|| self.bad("not an escape"))?;
        let mut code = 0;
        for digit in digits {
            code = code << 4 | char::from(*digit).to_digit(16).ok_or_else(|| self.bad("not an escape"))?;
        }
        self.at += 4;
        Ok(code)
    }

    /// Reads a whole number.
    ///
    /// # Errors
    /// Something else, or beyond 64 bits.
    pub fn number(&mut self) -> Result<u64, Bad> {
        self.peek();
        let start = self.at;
        self.scalar()?;
        let digits = self.since(start);
        digits.bytes().try_fold(0u64, whole).ok_or_else(|| self.bad("a whole number was expected"))
    }

    /// Reads a whole number that may be negative.
    ///
    /// # Errors
    /// Something else, or beyond 64 bits.
    pub fn signed(&mut self) -> Result<i64, Bad> {
        let negative = self.peek() == Some(b'-');
        let digits = self.word()?;
        let size = digits.bytes().skip(usize::from(negative)).try_fold(0u64, whole);
        size.and_then(|size| 0i64.checked_add_unsigned(size))
            .map(|number| if negative { -number } else { number })
            .ok_or_else(|| self.bad("a whole number was expected"))
    }

    /// Reads true or false.
    ///
    /// # Errors
    /// Something else.
    pub fn boolean(&mut self) -> Result<bool, Bad> {
        match self.word()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.bad("true or false was expected")),
        }
    }

    /// Takes a null if it comes next.
    pub fn null(&mut self) -> bool {
        self.peek();
        let found = self.rest().starts_with(b"null");
        self.at += if found { 4 } else { 0 };
        found
    }

    /// Passes over one value of any kind, however deep below the limit, and returns its text.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn skip(&mut self) -> Result<&'a str, Bad> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{') => self.object(&mut |reader, _| reader.skip().map(drop))?,
            Some(b'[') => self.array(&mut |reader| reader.skip().map(drop))?,
            Some(b'"') => self.skip_string()?,
            _ => self.scalar()?,
        }
        Ok(self.since(start))
    }

    /// Passes over a string without making characters of it. In JavaScript half of a surrogate pair may stand alone, and
    /// what an application stores comes back as it was.
    fn skip_string(&mut self) -> Result<(), Bad> {
        self.at += 1;
        loop {
            let mut ahead = self.rest().iter().copied();
            match (ahead.next(), ahead.next()) {
                (Some(b'"'), _) => break,
                (Some(b'\\'), Some(b'u')) => {
                    self.at += 2;
                    self.hexadecimal()?;
                }
                (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => self.at += 2,
                (Some(b'\\' | 0..=0x1f) | None, _) => return Err(self.bad("a string does not end")),
                _ => self.at += plain_run(self.rest()),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// As [`skip`](Self::skip), for a value that nests no deeper than `levels` by itself.
    ///
    /// # Errors
    /// It is not JSON, or nests deeper.
    pub fn skip_within(&mut self, levels: usize) -> Result<&'a str, Bad> {
        let most = std::mem::replace(&mut self.most, (self.depth + levels).min(MAX_NESTING));
        let text = self.skip();
        self.most = most;
        text
    }

    fn word(&mut self) -> Result<&'a str, Bad> {
        self.peek();
        let start = self.at;
        self.scalar()?;
        Ok(self.since(start))
    }

    /// The text from a place before up to here. Both are the ends of tokens, so neither is within a character; the
    /// panic that slicing has for that case would bring the printing of characters with it.
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// What follows.
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Passes over a number, or one of the three words.
    fn scalar(&mut self) -> Result<(), Bad> {
        let rest = self.rest();
        let end = rest.iter().position(ends_scalar).unwrap_or(rest.len());
        let word = &rest[..end];
        if !matches!(word, b"true" | b"false" | b"null") && !is_number(word) {
            return Err(self.bad("a value was expected"));
        }
        self.at += end;
        Ok(())
    }
}

fn ends_scalar(byte: &u8) -> bool {
    matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' | b':' | b'"')
}

/// How many bytes, from the first on, stand for themselves in a string. Strings are most of what is read, and eight
/// bytes are looked at together.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    let mut at = 0;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*eight);
        // The high bit of each byte that is smaller than `than`, and at times of some that follow such a byte.
        let below = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word & (ONES * 0x80);
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let special = below(word, 0x20) | is(b'"') | is(b'\\');
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    at + bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at)
}

/// Whether the bytes are a number of RFC 8259, section 6.
fn is_number(bytes: &[u8]) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
        return false;
    }
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let length = digits(unsigned);
        return length > 0 && length == unsigned.len();
    }
    rest.is_empty()
}

/// Appends a decimal digit to a number; none for anything else, or beyond 64 bits.
pub(super) fn whole(number: u64, digit: u8) -> Option<u64> {
    let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
    number.checked_mul(10)?.checked_add(digit)
}
