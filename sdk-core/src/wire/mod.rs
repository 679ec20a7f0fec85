//! JSON text in and out (RFC 8259), for the types of the protocol and of what is stored.
//!
//! `serde_json` made up 46 % of the browser's download, most of it code that serde generates anew for each type, and
//! the printing of floating-point numbers, of which the protocol has none. Here one reader and one writer serve
//! every type, and a type adds little more than the names of its fields (`docs/decisions/0002-json-codec.md`).
//!
//! Reading is strict: no duplicate or missing fields, whole numbers only, bounded depth. Unknown fields are
//! passed over, so that a newer peer may say more.

mod impls;
mod macros;
mod reader;
#[cfg(test)]
mod tests;

pub use crate::{record, tagged, transparent, words};
pub use reader::{Bad, MAX_NESTING, Reader};

/// Has a JSON form.
pub trait Encode {
    /// Appends it.
    fn write(&self, out: &mut String);

    /// Whether a record leaves its field out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Can be read from its JSON form.
pub trait Decode: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// [`Bad`]; where the reader stands afterwards means nothing.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad>;

    /// What a record has where the field is missing; none if that is an error.
    fn missing() -> Option<Self> {
        None
    }
}

/// Where a record keeps the value of one field until it has them all.
pub trait Slot {
    /// Reads the value, the first time.
    ///
    /// # Errors
    /// It was read before, or [`Bad`] as it is now.
    fn fill(&mut self, reader: &mut Reader<'_>) -> Result<(), Bad>;
}

impl<T: Decode> Slot for Option<T> {
    fn fill(&mut self, reader: &mut Reader<'_>) -> Result<(), Bad> {
        if self.is_some() {
            return Err(reader.bad("a name comes twice"));
        }
        *self = Some(T::read(reader)?);
        Ok(())
    }
}

/// Can be the key of an object.
pub trait Key: Sized {
    /// Appends it, quoted.
    fn write_key(&self, out: &mut String);

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read_key(text: &str) -> Result<Self, &'static str>;
}

/// The JSON text of a value.
pub fn encode<T: Encode + ?Sized>(value: &T) -> String {
    let mut out = String::new();
    value.write(&mut out);
    out
}

/// Reads a text that is one value.
///
/// # Errors
/// [`Bad`]
pub fn decode<T: Decode>(text: &str) -> Result<T, Bad> {
    let mut reader = Reader::new(text);
    let value = T::read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Appends a string, quoted and escaped.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, special) =
            rest.split_at_checked(reader::plain_run(rest.as_bytes())).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut chars = special.chars();
        let Some(c) = chars.next() else { break };
        rest = chars.as_str();
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\0'..='\u{1f}' => {
                let digit = |n: u32| char::from_digit(n, 16).unwrap_or('0');
                out.push_str("\\u00");
                out.extend([digit(u32::from(c) >> 4), digit(u32::from(c) & 15)]);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends a whole number.
pub fn write_number(mut number: u64, out: &mut String) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Writes the fields of an object one after another.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut String,
    started: bool,
}

impl<'a> Object<'a> {
    /// Begins an object.
    pub fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, started: false }
    }

    /// Appends a field, unless its value says that it is absent. The name needs no escaping.
    pub fn field(&mut self, name: &str, value: &dyn Encode) {
        if !value.is_absent() {
            self.name(name);
            value.write(self.out);
        }
    }

    /// Appends a field whose value is JSON text already.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push_str(value);
    }

    fn name(&mut self, name: &str) {
        let started = std::mem::replace(&mut self.started, true);
        self.out.push_str(if started { ",\"" } else { "\"" });
        self.out.push_str(name);
        self.out.push_str("\":");
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }
}

/// An object without fields; any it has are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty {}

impl Encode for Empty {
    fn write(&self, out: &mut String) {
        out.push_str("{}");
    }
}

impl Decode for Empty {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.object(&mut |reader, _| reader.skip().map(drop))?;
        Ok(Self {})
    }
}

/// Appends an array.
pub fn write_array(items: &mut dyn Iterator<Item = &dyn Encode>, out: &mut String) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write(out);
    }
    out.push(']');
}
