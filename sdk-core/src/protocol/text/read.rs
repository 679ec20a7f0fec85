//! From text to values.

use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Visitor,
    value::{BorrowedStrDeserializer, StrDeserializer},
};

use super::{
    RAW,
    scan::{Scanner, Text},
};

/// Why a text was not understood.
#[derive(Debug)]
pub(crate) struct ReadError {
    at: usize,
    /// Only where nobody has to download them.
    #[cfg(not(target_arch = "wasm32"))]
    words: Option<String>,
}

impl ReadError {
    pub(super) fn syntax() -> Self {
        Self {
            at: 0,
            #[cfg(not(target_arch = "wasm32"))]
            words: None,
        }
    }

    fn at(mut self, at: usize) -> Self {
        self.at = at;
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(words) = &self.words {
            return write!(f, "{words} at byte {}", self.at);
        }
        write!(f, "unexpected text at byte {}", self.at)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    #[cfg(not(target_arch = "wasm32"))]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { at: 0, words: Some(message.to_string()) }
    }

    #[cfg(target_arch = "wasm32")]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::syntax()
    }
}

/// Reads a text that is one value and nothing more. Its depth must have been checked.
pub(crate) fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, ReadError> {
    let mut reader = Reader { scanner: Scanner::new(text), in_key: false };
    let value = T::deserialize(&mut reader).and_then(|value| match reader.scanner.peek() {
        None => Ok(value),
        Some(_) => Err(ReadError::syntax()),
    });
    value.map_err(|error| error.at(reader.scanner.at()))
}

struct Reader<'de> {
    scanner: Scanner<'de>,
    /// Whether this is a key of an object, where a number is in quotes.
    in_key: bool,
}

impl<'de> Reader<'de> {
    fn integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        let quoted = self.in_key;
        if quoted {
            self.scanner.take(b'"')?;
        }
        let (negative, amount) = self.scanner.integer()?;
        if quoted {
            self.scanner.take(b'"')?;
        }
        if !negative {
            return visitor.visit_u64(amount);
        }
        // The one amount that is not below zero when it is negated is that of the smallest number.
        match (amount as i64).wrapping_neg() {
            number @ ..0 if amount <= 1 << 63 => visitor.visit_i64(number),
            _ => Err(ReadError::syntax()),
        }
    }

    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        match self.scanner.string()? {
            Text::Borrowed(text) => visitor.visit_borrowed_str(text),
            Text::Owned(text) => visitor.visit_string(text),
        }
    }

    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        self.scanner.take(b'[')?;
        let value = visitor.visit_seq(Items { reader: self, first: true })?;
        self.scanner.take(b']')?;
        Ok(value)
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        self.scanner.take(b'{')?;
        let value = visitor.visit_map(Items { reader: self, first: true })?;
        self.scanner.take(b'}')?;
        Ok(value)
    }
}

macro_rules! forward {
    ($($method:ident)* => $target:ident) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.$target(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = ReadError;

    forward! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 => integer
    }
    forward! { deserialize_str deserialize_string deserialize_identifier deserialize_char => string }
    forward! { deserialize_seq => array }
    forward! { deserialize_map => object }
    forward! { deserialize_f32 deserialize_f64 deserialize_bytes deserialize_byte_buf => deserialize_any }

    /// No type of the protocol asks what comes, or has floating point numbers.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::syntax())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.scanner.takes_word("true") {
            visitor.visit_bool(true)
        } else if self.scanner.takes_word("false") {
            visitor.visit_bool(false)
        } else {
            Err(ReadError::syntax())
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.scanner.takes_word("null") { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.scanner.takes_word("null") { visitor.visit_unit() } else { Err(ReadError::syntax()) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == RAW {
            visitor.visit_map(Raw(Some(self.scanner.raw()?)))
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.array(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.array(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.object(visitor)
    }

    /// A variant's name alone, or an object with the name as its one key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if self.scanner.peek() == Some(b'"') {
            return match self.scanner.string()? {
                Text::Borrowed(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
                Text::Owned(name) => visitor.visit_enum(StrDeserializer::new(&name)),
            };
        }
        self.scanner.take(b'{')?;
        let value = visitor.visit_enum(Variant(self))?;
        self.scanner.take(b'}')?;
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.scanner.raw()?;
        visitor.visit_unit()
    }
}

/// What an array or an object holds.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
}

impl Items<'_, '_> {
    /// Goes to the next item; false at the end.
    fn advance(&mut self, close: u8) -> Result<bool, ReadError> {
        let scanner = &mut self.reader.scanner;
        if scanner.peek() == Some(close) {
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            scanner.take(b',')?;
        }
        Ok(true)
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        if self.advance(b']')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        if self.reader.scanner.peek() != Some(b'"') {
            return Err(ReadError::syntax());
        }
        self.reader.in_key = true;
        let key = seed.deserialize(&mut *self.reader);
        self.reader.in_key = false;
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        self.reader.scanner.take(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The content of an enum's object.
struct Variant<'a, 'de>(&'a mut Reader<'de>);

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let name = seed.deserialize(&mut *self.0)?;
        self.0.scanner.take(b':')?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.0.array(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.0.object(visitor)
    }
}

/// A value's text, in the shape in which `serde_json` hands it over.
struct Raw<'de>(Option<&'de str>);

impl<'de> de::MapAccess<'de> for Raw<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.0.map(|_| seed.deserialize(BorrowedStrDeserializer::new(RAW))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        seed.deserialize(BorrowedStrDeserializer::new(self.0.take().unwrap_or_default()))
    }
}
