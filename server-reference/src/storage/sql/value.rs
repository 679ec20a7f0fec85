//! What goes into a statement and comes out of a row.

use std::sync::Arc;

use super::{StorageError, corrupt};

/// A parameter of a statement, or a column of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::storage) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// One that may be too large for a database, which is for the statement to refuse.
    Unsigned(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A row that was read.
pub(in crate::storage) trait Row {
    /// A column by its place, from 0.
    fn value(&self, column: usize) -> Result<Value<'_>, StorageError>;
}

impl dyn Row + '_ {
    /// A column by its place, from 0.
    pub(in crate::storage) fn get<'r, T: Column<'r>>(&'r self, column: usize) -> Result<T, StorageError> {
        T::of(self.value(column)?).ok_or_else(|| corrupt("a row")(Misfit(column)))
    }
}

/// A column is of another kind than it should be.
#[derive(Debug, thiserror::Error)]
#[error("column {0} is of another kind")]
struct Misfit(usize);

/// What a column can be read as.
pub(in crate::storage) trait Column<'r>: Sized {
    /// None if it is of another kind.
    fn of(value: Value<'r>) -> Option<Self>;
}

impl<'r> Column<'r> for &'r str {
    fn of(value: Value<'r>) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl Column<'_> for String {
    fn of(value: Value<'_>) -> Option<Self> {
        <&str>::of(value).map(str::to_owned)
    }
}

impl Column<'_> for Vec<u8> {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Bytes(bytes) = value { Some(bytes.to_vec()) } else { None }
    }
}

impl Column<'_> for i64 {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Integer(number) = value { Some(number) } else { None }
    }
}

impl Column<'_> for bool {
    fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(so) => Some(so),
            Value::Integer(so) => Some(so != 0),
            _ => None,
        }
    }
}

impl<'r, T: Column<'r>> Column<'r> for Option<T> {
    fn of(value: Value<'r>) -> Option<Self> {
        if value == Value::Null { Some(None) } else { T::of(value).map(Some) }
    }
}

/// What can be a parameter.
pub(in crate::storage) trait Parameter {
    fn value(&self) -> Value<'_>;
}

macro_rules! numbers {
    ($($number:ty => $kind:ident,)*) => {$(
        impl Parameter for $number {
            fn value(&self) -> Value<'_> {
                // Each of them is within its kind.
                Value::$kind(*self as _)
            }
        }
    )*};
}

macro_rules! unsigned {
    ($($number:ty,)*) => {$(
        impl Column<'_> for $number {
            fn of(value: Value<'_>) -> Option<Self> {
                i64::of(value)?.try_into().ok()
            }
        }
    )*};
}

numbers!(i64 => Integer, u32 => Unsigned, u64 => Unsigned, usize => Unsigned,);
unsigned!(u32, u64, usize,);

impl Parameter for bool {
    fn value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
}

impl Parameter for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Parameter for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Parameter for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl Parameter for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<const N: usize> Parameter for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<T: Parameter + ?Sized> Parameter for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl<T: Parameter + ?Sized> Parameter for Arc<T> {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Parameter::value)
    }
}

/// The parameters of a statement: a tuple.
pub(in crate::storage) trait Values {
    /// Hands them to what is to be executed with them.
    fn hand<R>(&self, to: &mut dyn FnMut(&[Value<'_>]) -> R) -> R;
}

macro_rules! tuples {
    ($($($name:ident)*,)*) => {$(
        impl<$($name: Parameter),*> Values for ($($name,)*) {
            fn hand<R>(&self, to: &mut dyn FnMut(&[Value<'_>]) -> R) -> R {
                #[allow(non_snake_case)]
                let ($($name,)*) = self;
                to(&[$($name.value()),*])
            }
        }
    )*};
}

tuples!(
    ,
    A,
    A B,
    A B C,
    A B C D,
    A B C D E,
    A B C D E F,
    A B C D E F G,
    A B C D E F G H,
    A B C D E F G H I,
    A B C D E F G H I J,
    A B C D E F G H I J K,
    A B C D E F G H I J K L M,
    A B C D E F G H I J K L M N,
);
