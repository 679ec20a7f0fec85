//! The codec against `serde_json`, which is written by others and reads the same language.

use proptest::prelude::{
    ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use serde_json::Value;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    number: u64,
    text: String,
    list: Vec<u32>,
    maybe: Option<bool>,
    pair: (u64, String),
}

record!(Sample {
    number: "number";
    text: "text";
    list: "list" or Vec::new();
    maybe: "maybe";
    pair: "pair";
});

fn skip(text: &str) -> Result<&str, Bad> {
    let mut reader = Reader::new(text);
    let value = reader.skip()?;
    reader.end().map(|()| value)
}

#[test]
fn unknown_fields_are_passed_over_and_missing_or_double_ones_refused() {
    let text = r#" {"new":[{"a":1.5e3}],"number":7,"text":"\u00e9\ud83d\ude00\n","pair":[1,"x"]} "#;
    let sample: Sample = decode(text).unwrap();
    assert_eq!((sample.number, sample.text.as_str(), sample.maybe), (7, "é😀\n", None));
    for bad in [
        r#"{"number":7,"text":""}"#,
        r#"{"number":7,"number":7,"text":"","pair":[1,"x"]}"#,
        r#"{"number":7,"text":"","pair":[1,"x",2]}"#,
        r#"{"number":7,"text":"","pair":[1]}"#,
        r#"{"number":7.0,"text":"","pair":[1,"x"]}"#,
        r#"{"number":-7,"text":"","pair":[1,"x"]}"#,
        r#"{"number":18446744073709551616,"text":"","pair":[1,"x"]}"#,
        r#"{"number":7,"text":"","pair":[1,"x"]} 1"#,
    ] {
        assert!(decode::<Sample>(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "'a'",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "-",
        "nul",
        "truee",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\u{1}\"",
        "\"",
        "[1 2]",
        "{\"a\":1,}",
        "1 2",
        "\u{feff}1",
        "NaN",
    ] {
        assert!(skip(bad).is_err(), "{bad:?}");
        assert!(serde_json::from_str::<Value>(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn half_a_surrogate_pair_is_passed_over_in_values_and_refused_where_text_is_meant() {
    for text in [r#""\ud800""#, r#"["\udc00x"]"#, r#"{"a":"\ud800\u0041"}"#] {
        assert_eq!(skip(text).unwrap(), text);
    }
    for half in [r"\ud800", r"\udc00", r"\ud800\u0041"] {
        let text = format!(r#"{{"number":7,"text":"{half}","pair":[1,"x"]}}"#);
        assert!(decode::<Sample>(&text).is_err(), "{text}");
    }
}

#[test]
fn nesting_is_bounded_and_said_to_be_the_reason() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(skip(&nested(MAX_NESTING)).is_ok());
    assert!(skip(&nested(MAX_NESTING + 1)).unwrap_err().is_too_deep());
    assert!(skip(&"[".repeat(1_000_000)).unwrap_err().is_too_deep());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_passed_over_whole(value in values()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert_eq!(skip(&text).unwrap(), text.as_str());
        }
    }

    #[test]
    fn a_text_is_refused_wherever_serde_json_refuses_it(value in values(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut chars: Vec<char> = value.to_string().chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        let text: String = chars.into_iter().collect();
        // Numbers that are JSON but too large for a float are the one thing that only we take.
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(skip(&text).is_ok(), theirs, "{}", text);
    }

    #[test]
    fn what_is_written_is_read_back_here_and_elsewhere(
        number in any::<u64>(), text in any::<String>(), list in prop::collection::vec(any::<u32>(), 0..4), maybe in any::<Option<bool>>()
    ) {
        let sample = Sample { number, text: text.clone(), list, maybe, pair: (number, text.clone()) };
        let written = encode(&sample);
        prop_assert_eq!(&decode::<Sample>(&written).unwrap(), &sample);
        let theirs: Value = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(theirs["text"].as_str(), Some(text.as_str()));
        prop_assert_eq!(theirs["number"].as_u64(), Some(number));
        prop_assert!(theirs.get("maybe").is_some() == maybe.is_some());
    }
}
