//! The JSON Schema of a file of settings.

use clap::Arg;
use serde_json::{Map, Value, json};

use super::{Kind, Settings, check, help};

impl Settings {
    /// The schema (draft 2020-12).
    pub(crate) fn schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.options().filter_map(|arg| Some((arg.get_long()?.to_owned(), property(arg)))).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Settings of webwaka-server",
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        })
    }
}

fn property(arg: &Arg) -> Value {
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    let first = arg.get_default_values().first().map(|value| text(value));
    let mut property = match Kind::of(arg) {
        Kind::Flag => json!({ "type": "boolean", "default": false }),
        Kind::Number => {
            let least = u8::from(check(arg, "0").is_err());
            json!({ "type": "integer", "minimum": least, "default": first.and_then(|first| first.parse::<u64>().ok()) })
        }
        Kind::Text => json!({ "type": "string", "default": first }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" }, "default": [] }),
    };
    if property["default"].is_null() {
        property.as_object_mut().expect("it is one").remove("default");
    }
    let possible = arg.get_possible_values();
    if !possible.is_empty() && Kind::of(arg) == Kind::Text {
        property["enum"] = possible.iter().map(|value| value.get_name()).collect();
    }
    property["description"] = help(arg).into();
    property["x-environment"] = arg.get_env().map(text).into();
    property
}
