//! Declarations of JSON forms, so that a type's names stand in one place.

/// A struct as an object: `record!(Hello { versions: "versions"; resume: "resume" or Vec::new(); });`.
///
/// A field after `or` may be missing and is always written; one after `or_empty` may be missing and is left out
/// when empty (`fields: "fields", or_empty;`); any other is required, but for an `Option`. With `out` in front, the type
/// is only written; with `in`, only read.
#[macro_export]
macro_rules! record {
    (out $type:ident { $($field:ident: $key:literal $(or $default:expr)? $(, $empty:ident)?;)* }) => {
        impl $crate::wire::Encode for $type {
            fn write(&self, out: &mut String) {
                let mut object = $crate::wire::Object::new(out);
                $($crate::record!(@write object, self.$field, $key $(, $empty)?);)*
                object.end();
            }
        }
    };
    ($type:ident { $($field:ident: $key:literal $(or $default:expr)? $(, $empty:ident)?;)* }) => {
        $crate::record!(out $type { $($field: $key $(or $default)? $(, $empty)?;)* });
        $crate::record!(in $type { $($field: $key $(or $default)? $(, $empty)?;)* });
    };
    (in $type:ident { $($field:ident: $key:literal $(or $default:expr)? $(, $empty:ident)?;)* }) => {
        impl $crate::wire::Decode for $type {
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::Bad> {
                $(let mut $field = None;)*
                reader.record(&mut [$(($key, &mut $field),)*])?;
                Ok(Self { $($field: match $field {
                    Some(value) => value,
                    None => $crate::record!(@missing reader, $key $(or $default)? $(, $empty)?),
                },)* })
            }
        }
    };
    (@write $object:ident, $value:expr, $key:literal) => { $object.field($key, &$value) };
    (@write $object:ident, $value:expr, $key:literal, or_empty) => {
        if !$value.is_empty() { $object.field($key, &$value) }
    };
    (@missing $reader:ident, $key:literal or $default:expr) => { $default };
    (@missing $reader:ident, $key:literal, or_empty) => { Default::default() };
    (@missing $reader:ident, $key:literal) => {
        $crate::wire::Decode::missing().ok_or_else(|| $reader.missing($key))?
    };
}

/// An enum as an object with one key: `tagged!(Frame { "push" => Push } { "ping" => Ping });`, first the variants
/// that hold one value, then those that hold nothing and are written with an empty object.
#[macro_export]
macro_rules! tagged {
    (out $type:ident { $($key:literal => $variant:ident),* } { $($empty_key:literal => $empty:ident),* }) => {
        impl $crate::wire::Encode for $type {
            fn write(&self, out: &mut String) {
                let mut object = $crate::wire::Object::new(out);
                match self {
                    $(Self::$variant(value) => object.field($key, value),)*
                    $(Self::$empty {} => object.field($empty_key, &$crate::wire::Empty {}),)*
                }
                object.end();
            }
        }
    };
    ($type:ident { $($key:literal => $variant:ident),* } { $($empty_key:literal => $empty:ident),* }) => {
        $crate::tagged!(out $type { $($key => $variant),* } { $($empty_key => $empty),* });

        impl $crate::wire::Decode for $type {
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::Bad> {
                let mut found = None;
                reader.object(&mut |reader, name| {
                    if found.is_some() {
                        return Err(reader.bad("one name was expected"));
                    }
                    found = Some(match name {
                        $($key => Self::$variant($crate::wire::Decode::read(reader)?),)*
                        $($empty_key => {
                            <$crate::wire::Empty as $crate::wire::Decode>::read(reader)?;
                            Self::$empty {}
                        })*
                        _ => return Err(reader.bad("not a known name")),
                    });
                    Ok(())
                })?;
                found.ok_or_else(|| reader.bad("one name was expected"))
            }
        }
    };
}

/// An enum without values as one word each: `words!(Link { Up: "up" });`; it is only written.
#[macro_export]
macro_rules! words {
    ($type:ident { $($variant:ident: $word:literal),* $(,)? }) => {
        impl $crate::wire::Encode for $type {
            fn write(&self, out: &mut String) {
                $crate::wire::write_text(match self { $(Self::$variant => $word),* }, out);
            }
        }
    };
}

/// A struct around one value, as that value.
#[macro_export]
macro_rules! transparent {
    ($($type:ident),*) => {$(
        impl $crate::wire::Encode for $type {
            fn write(&self, out: &mut String) {
                self.0.write(out);
            }
        }

        impl $crate::wire::Decode for $type {
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::Bad> {
                $crate::wire::Decode::read(reader).map(Self)
            }
        }
    )*};
}
