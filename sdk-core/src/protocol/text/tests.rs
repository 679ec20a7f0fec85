use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{read, write};

/// Every shape that serde's data model has and JSON text can hold, but for floating point numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    truth: bool,
    small: i8,
    signed: i64,
    unsigned: u64,
    text: String,
    maybe: Option<String>,
    pair: (u32, String),
    list: Vec<Shape>,
    numbered: BTreeMap<u64, String>,
    named: BTreeMap<String, Option<i64>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Shape {
    Unit,
    Newtype(u16),
    Tuple(i32, bool),
    Fields { one: String },
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Unit),
        any::<u16>().prop_map(Shape::Newtype),
        any::<(i32, bool)>().prop_map(|(one, two)| Shape::Tuple(one, two)),
        any::<String>().prop_map(|one| Shape::Fields { one }),
    ]
}

prop_compose! {
    fn everything()(
        (truth, small, signed, unsigned, text, maybe) in any::<(bool, i8, i64, u64, String, Option<String>)>(),
        pair in any::<(u32, String)>(),
        list in prop::collection::vec(shape(), 0..4),
        numbered in any::<BTreeMap<u64, String>>(),
        named in any::<BTreeMap<String, Option<i64>>>(),
    ) -> Everything {
        Everything { truth, small, signed, unsigned, text, maybe, pair, list, numbered, named }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_written_is_what_serde_json_writes(value in everything()) {
        prop_assert_eq!(write(&value).unwrap(), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn what_serde_json_writes_is_read(value in everything(), pretty in any::<bool>()) {
        let to_text = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        prop_assert_eq!(read::<Everything>(&to_text(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn any_value_passes_as_its_text(value in any_json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let raw: Vec<Box<RawValue>> = read(&format!(" [{text} , {text}]")).unwrap();
        prop_assert_eq!((raw[0].get(), raw[1].get()), (&*text, &*text));
        prop_assert_eq!(write(&raw).unwrap(), format!("[{text},{text}]"));
    }

    /// Texts that are nearly right: whatever one reader refuses the other refuses, too.
    #[test]
    fn what_serde_json_refuses_is_refused(value in everything(), at in any::<prop::sample::Index>(), byte in 0x20..0x7fu8) {
        let mut text = serde_json::to_string(&value).unwrap().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let Ok(text) = String::from_utf8(text) else { return Ok(()) };
        let (ours, theirs) = (read::<Everything>(&text).ok(), serde_json::from_str::<Everything>(&text).ok());
        prop_assert_eq!(ours, theirs, "{}", text);
        let (ours, theirs) = (read::<Box<RawValue>>(&text), serde_json::from_str::<Box<RawValue>>(&text));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
    }
}

#[test]
fn numbers_are_whole_and_within_their_type() {
    for text in
        ["-9223372036854775809", "18446744073709551616", "1.0", "1e3", "01", "-", "--1", "+1", "0x1", "NaN"]
    {
        assert!(read::<i64>(text).is_err(), "{text}");
        assert!(serde_json::from_str::<i64>(text).is_err(), "{text}");
    }
    assert_eq!(read::<i64>("-9223372036854775808").unwrap(), i64::MIN);
    assert_eq!(read::<u64>("18446744073709551615").unwrap(), u64::MAX);
    assert!(read::<u8>("256").is_err() && read::<u32>("-1").is_err());
}

#[test]
fn escapes_are_resolved_and_half_pairs_refused() {
    assert_eq!(read::<String>(r#""\u00e9\n\/\ud83d\ude00""#).unwrap(), "é\n/😀");
    for text in
        [r#""\ud83d""#, r#""\ud83d\u0041""#, r#""\ude00""#, r#""\x""#, r#""\u12""#, "\"\n\"", "\"", r#""\"#]
    {
        assert!(read::<String>(text).is_err(), "{text}");
        assert!(serde_json::from_str::<String>(text).is_err(), "{text}");
    }
}

#[test]
fn nothing_may_follow_a_value() {
    for text in [
        "",
        " ",
        "1 2",
        "[1,]",
        "[1 2]",
        "[,1]",
        "[1",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "nul",
        "truefalse",
    ] {
        assert!(read::<Box<RawValue>>(text).is_err(), "{text}");
        assert!(read::<Vec<u8>>(text).is_err(), "{text}");
    }
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    let error = read::<Everything>(r#"{"truth":true,"small":500}"#).unwrap_err().to_string();
    assert!(error.contains("500") && error.ends_with("at byte 25"), "{error}");
    assert!(read::<Everything>("{}").unwrap_err().to_string().contains("truth"));
}
