//! The JSON forms of the language's own types.

use super::{Bad, Decode, Encode, Key, Reader, write_array, write_number, write_text};
use crate::sorted::SortedMap;

impl Encode for u64 {
    fn write(&self, out: &mut String) {
        write_number(*self, out);
    }
}

impl Decode for u64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.number()
    }
}

impl Encode for u32 {
    fn write(&self, out: &mut String) {
        write_number(u64::from(*self), out);
    }
}

impl Decode for u32 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        Self::try_from(reader.number()?).map_err(|_| reader.bad("a number is too large"))
    }
}

impl Encode for i64 {
    fn write(&self, out: &mut String) {
        if *self < 0 {
            out.push('-');
        }
        write_number(self.unsigned_abs(), out);
    }
}

impl Decode for i64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.signed()
    }
}

impl Encode for usize {
    fn write(&self, out: &mut String) {
        write_number(*self as u64, out);
    }
}

impl Decode for usize {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        Self::try_from(reader.number()?).map_err(|_| reader.bad("a number is too large"))
    }
}

impl Encode for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Decode for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.boolean()
    }
}

impl Encode for str {
    fn write(&self, out: &mut String) {
        write_text(self, out);
    }
}

impl Encode for String {
    fn write(&self, out: &mut String) {
        write_text(self, out);
    }
}

impl Decode for String {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.string().map(Into::into)
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }

    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
}

/// Rarely there, and kept elsewhere, so that what holds it is small.
impl<T: Encode> Encode for Box<T> {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

impl<T: Decode> Decode for Box<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        T::read(reader).map(Self::new)
    }
}

/// A field that is none is left out of its record.
impl<T: Encode> Encode for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Decode> Decode for Option<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        if reader.null() { Ok(None) } else { T::read(reader).map(Some) }
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<T: Encode> Encode for [T] {
    fn write(&self, out: &mut String) {
        write_array(&mut self.iter().map(|item| item as &dyn Encode), out);
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let mut items = Self::new();
        reader.array(&mut |reader| {
            items.push(T::read(reader)?);
            Ok(())
        })?;
        Ok(items)
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt)*))*) => {$(
        impl<$($name: Encode),*> Encode for ($($name,)*) {
            fn write(&self, out: &mut String) {
                let items: &[&dyn Encode] = &[$(&self.$index),*];
                write_array(&mut items.iter().copied(), out);
            }
        }

        impl<$($name: Decode),*> Decode for ($($name,)*) {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
                let mut items = ($(None::<$name>,)*);
                let mut index = 0;
                reader.array(&mut |reader| {
                    match index {
                        $($index => items.$index = Some($name::read(reader)?),)*
                        _ => return Err(reader.bad("an array is too long")),
                    }
                    index += 1;
                    Ok(())
                })?;
                let short = || reader.bad("an array is too short");
                Ok(($(items.$index.ok_or_else(short)?,)*))
            }
        }
    )*};
}

tuples! { (A 0 B 1) (A 0 B 1 C 2) (A 0 B 1 C 2 D 3) (A 0 B 1 C 2 D 3 E 4) }

impl<K: Key, V: Encode> Encode for SortedMap<K, V> {
    fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (key, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            key.write_key(out);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

impl<K: Key + Ord, V: Decode> Decode for SortedMap<K, V> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let mut map = Self::new();
        reader.object(&mut |reader, name| {
            let key = K::read_key(name).map_err(|problem| reader.bad(problem))?;
            match map.insert(key, V::read(reader)?) {
                None => Ok(()),
                Some(_) => Err(reader.bad("a name comes twice")),
            }
        })?;
        Ok(map)
    }
}
