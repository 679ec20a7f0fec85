//! What a server is known to have, by the names under which descriptions speak of it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values of one name; beyond them, the oldest go.
const MOST: usize = 24;

/// Names of members whose values are another's parameter.
const ALIASES: [(&str, &[&str]); 8] = [
    ("id", &["letter"]),
    ("position", &["offset", "after"]),
    ("tail_offset", &["offset"]),
    ("cursor", &["offset", "position"]),
    ("path", &["stream", "topic"]),
    ("root", &["root"]),
    ("hash", &["hash"]),
    ("next", &["after"]),
];
/// Those whose values say something to the server again.
const WORTH: [&str; 6] = ["lease", "wake_id", "generation", "ticket", "token", "client"];

/// Values by name.
#[derive(Default)]
pub(super) struct Known(BTreeMap<String, Vec<Value>>);

impl Known {
    pub(super) fn of(&self, name: &str) -> Option<&Vec<Value>> {
        self.0.get(name).filter(|values| !values.is_empty())
    }

    pub(super) fn note(&mut self, name: &str, value: impl Into<Value>) {
        let (values, value) = (self.0.entry(name.to_owned()).or_default(), value.into());
        if !values.contains(&value) {
            if values.len() >= MOST {
                values.remove(0);
            }
            values.push(value);
        }
    }

    /// Notes what an answer tells.
    pub(super) fn learn(&mut self, answer: &Value) {
        match answer {
            Value::Object(members) => {
                for (name, member) in members {
                    if member.is_string() || member.is_u64() {
                        let known = ALIASES.iter().find(|(of, _)| of == name);
                        let named = known.map_or(&[] as &[&str], |(_, names)| *names);
                        named.iter().for_each(|name| self.note(name, member.clone()));
                        if WORTH.contains(&name.as_str()) {
                            self.note(name, member.clone());
                        }
                    }
                    self.learn(member);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }
}
