//! Values from schemas, and what may be wrong with them.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    string::string_regex,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

use super::{description::Description, known::Known};

/// Nesting beyond which optional members are left out.
const DEEP: usize = 6;

/// Texts that are seldom thought of.
const HOSTILE: [&str; 16] = [
    "",
    " ",
    "0",
    "-1",
    "null",
    "9007199254740993",
    "1e400",
    "a b",
    "\u{0}",
    "\r\nx-injected: 1",
    "'; DROP TABLE topics; --",
    "${jndi:ldap://127.0.0.1/}",
    "%2e%2e%2f",
    "\u{202e}\u{feff}\u{1f4a9}",
    "\u{e4}\u{301}\u{130}",
    "constructor",
];

/// Makes values by chance, the same for the same seed and the same that is known.
pub(super) struct Generator<'a> {
    pub(super) of: &'a Description,
    pub(super) known: Known,
    runner: TestRunner,
}

impl<'a> Generator<'a> {
    pub(super) fn new(of: &'a Description, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self { of, known: Known::default(), runner: TestRunner::new_with_rng(Default::default(), rng) }
    }

    /// A number below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.runner.rng().random_range(0..bound.max(1))
    }

    /// True so many times of a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn one<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    /// A value that a schema allows. `name` is what it is called where it stands: something of that name may be known.
    pub(super) fn valid(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        let schema = self.of.resolve(schema);
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(choices) = schema["enum"].as_array() {
            return self.one(choices).clone();
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let choice = self.one(choices);
            return self.valid(choice, name, depth);
        }
        let known = self.known.of(name).map_or(0, Vec::len);
        if known > 0 && schema["type"] != "object" && self.chance(70) {
            let index = self.below(known);
            return self.known.of(name).expect("it is known")[index].clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => self.one(kinds).as_str(),
            kind => kind.as_str(),
        };
        match kind {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, name, depth),
            Some("string") => self.text(schema).into(),
            Some("integer") => self.integer(schema),
            Some("boolean") => self.chance(50).into(),
            Some("null") => Value::Null,
            _ => self.anything(depth),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let mut object = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || (depth < DEEP && self.chance(50)) {
                object.insert(name.clone(), self.valid(member, name, depth + 1));
            }
        }
        // A member that another one needs.
        for (name, needed) in schema["dependencies"].as_object().into_iter().flatten() {
            let lacks =
                needed.as_array().into_iter().flatten().any(|it| !object.contains_key(it.as_str().unwrap()));
            if lacks {
                object.remove(name);
            }
        }
        if let Some(free @ Value::Object(_)) = schema.get("additionalProperties") {
            for _ in 0..self.below(4) {
                let name = self.name(&schema["propertyNames"]);
                object.insert(name, self.valid(free, "", depth + 1));
            }
        } else if schema["additionalProperties"] == true && schema.get("propertyNames").is_some() {
            for _ in 0..self.below(4) {
                let name = self.name(&schema["propertyNames"]);
                object.insert(name, self.anything(depth + 1));
            }
        }
        // A field stands in one place, which no schema can say.
        if let Some(Value::Object(fields)) = object.get("fields").cloned()
            && let Some(Value::Object(latest)) = object.get_mut("latest")
        {
            latest.retain(|name, _| !fields.contains_key(name));
        }
        object.into()
    }

    fn name(&mut self, schema: &'a Value) -> String {
        let schema = self.of.resolve(schema);
        if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("0-9]{0,9}")) {
            return self.below(100).to_string();
        }
        if self.chance(70) { self.one(&["title", "n", "tags"]).to_string() } else { self.text(schema) }
    }

    fn array(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        let tuple = schema["prefixItems"].as_array().or_else(|| schema["items"].as_array());
        if let Some(items) = tuple {
            return items.iter().map(|item| self.valid(item, "", depth + 1)).collect();
        }
        let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
        let many = if depth < DEEP { 3 } else { 1 };
        let name = name.strip_suffix('s').unwrap_or(name);
        (0..least + self.below(many)).map(|_| self.valid(&schema["items"], name, depth + 1)).collect()
    }

    pub(super) fn text(&mut self, schema: &Value) -> String {
        if let Some(examples) = schema["examples"].as_array()
            && self.chance(50)
        {
            return self.one(examples).as_str().expect("an example is text").to_owned();
        }
        let most = schema["maxLength"].as_u64().unwrap_or(200) as usize;
        let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
        match schema["pattern"].as_str() {
            // Names of any characters, and what no generator knows: texts that may be anything.
            Some(pattern) if pattern.contains("\\u0000") => self.words(least.max(1), most),
            Some(pattern) if pattern.contains("(?!") => self.one(&["t1", "a/b", "x.y~z"]).to_string(),
            Some(pattern) => {
                let strategy = string_regex(pattern.trim_start_matches('^').trim_end_matches('$'));
                let strategy = strategy.unwrap_or_else(|bad| panic!("{pattern}: {bad}"));
                strategy.new_tree(&mut self.runner).expect("it makes texts").current()
            }
            None => self.words(least, most),
        }
    }

    /// A text of so many bytes, without control characters.
    fn words(&mut self, least: usize, most: usize) -> String {
        let length = if self.chance(5) { most } else { least + self.below(12) };
        let mut text = String::new();
        while text.len() < length {
            let next =
                *self.one(&['a', 'b', 'Z', '0', '-', '_', '.', ' ', '/', '"', '\\', '\u{e4}', '\u{1f600}']);
            if text.len() + next.len_utf8() > most {
                break;
            }
            text.push(next);
        }
        while text.len() < least {
            text.push('x');
        }
        text
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
        match self.below(10) {
            0 => least,
            1 => most,
            2 => (1_790_000_000_000 + self.below(1_000) as i64).clamp(least, most),
            _ => (self.below(20) as i64).clamp(least, most),
        }
        .into()
    }

    pub(super) fn anything(&mut self, depth: usize) -> Value {
        let flat = if depth < DEEP { 9 } else { 7 };
        match self.below(flat) {
            0 => Value::Null,
            1 => self.chance(50).into(),
            2 => json!(self.below(1_000)),
            3 => json!(-0.5),
            4 | 5 => self.words(0, 40).into(),
            6 => self.hostile().into(),
            7 => (0..self.below(3)).map(|_| self.anything(depth + 1)).collect(),
            _ => (0..self.below(3)).map(|_| (self.words(1, 20), self.anything(depth + 1))).collect(),
        }
    }

    pub(super) fn hostile(&mut self) -> String {
        match self.below(20) {
            0 => "x".repeat(300),
            1 => "\u{e4}".repeat(129),
            2 => "[".repeat(100),
            3 => "a/".repeat(200),
            _ => self.one(&HOSTILE).to_string(),
        }
    }

    /// Makes something wrong somewhere within a value; it may be right all the same.
    pub(super) fn spoil(&mut self, value: &mut Value) {
        let places = places(value);
        let place = self.one(&places).clone();
        if let (8.., Some((parent, name))) = (self.below(12), place.rsplit_once('/'))
            && let Some(Value::Object(members)) = value.pointer_mut(parent)
        {
            // A member that is missing, or one that nobody knows.
            if self.chance(60) {
                members.remove(&name.replace("~1", "/").replace("~0", "~"));
            } else {
                let name = self.hostile();
                members.insert(name, json!(1));
            }
            return;
        }
        let other = match self.below(12) {
            0 => Value::Null,
            1 => json!(-1),
            2 => json!(0.5),
            3 => json!(9_007_199_254_740_992_u64),
            4 => json!(true),
            5 => json!([]),
            6 => json!({}),
            7 => (0..60).fold(json!(1), |inside, _| json!([inside])),
            8 => (0..self.below(300)).map(|n| (format!("m{n}"), json!(n))).collect(),
            9 => self.anything(0),
            _ => self.hostile().into(),
        };
        if let Some(place) = value.pointer_mut(&place) {
            *place = other;
        }
    }
}

/// The pointers to all that is within a value, itself included.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: String, all: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    walk(member, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), all);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, format!("{at}/{index}"), all);
                }
            }
            _ => {}
        }
        all.push(at);
    }
    let mut all = Vec::new();
    walk(value, String::new(), &mut all);
    all
}
