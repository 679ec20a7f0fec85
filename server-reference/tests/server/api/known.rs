//! What a server is known to have, by the names under which descriptions speak of it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values of one name; beyond them, the oldest go.
const MOST: usize = 24;

/// Names of members whose values are another's parameter.
const ALIASES: [(&str, &[&str]); 7] = [
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
        values.retain(|known| *known != value);
        if values.len() >= MOST {
            values.remove(0);
        }
        values.push(value);
    }

    /// A text with the newest that is known in the place of each `<name>`; none if there is none.
    pub(super) fn fill(&self, text: &str) -> Option<String> {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('<') {
            let (name, behind) = behind.split_once('>')?;
            let newest = self.of(name)?.last()?;
            whole += before;
            whole += &newest.as_str().map_or_else(|| newest.to_string(), str::to_owned);
            rest = behind;
        }
        Some(whole + rest)
    }

    /// Notes what an answer tells.
    pub(super) fn learn(&mut self, answer: &Value) {
        match answer {
            Value::Object(members) => {
                for (name, member) in members {
                    // The one has 32 digits, the other a point.
                    match member.as_str().filter(|_| name == "id") {
                        Some(id) if id.len() == 32 => self.note("grant", id),
                        Some(id) if id.contains('.') => self.note("letter", id),
                        _ => {}
                    }
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
