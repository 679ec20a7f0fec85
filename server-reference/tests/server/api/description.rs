//! The two descriptions as values.

use std::{collections::BTreeMap, fs, path::Path};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// What has a body when it is asked for.
const METHODS: [&str; 5] = ["get", "head", "put", "post", "delete"];

/// A description, with what its parts refer to.
pub(super) struct Description {
    pub(super) root: Value,
    /// As the root, but for objects that have no members beside those that are described.
    closed: Value,
    /// What its schemas are written in.
    dialect: fn(&Value) -> Result<Validator, jsonschema::ValidationError<'static>>,
}

/// One method of one path.
pub(super) struct Operation<'a> {
    pub(super) id: &'a str,
    /// In capitals.
    pub(super) method: String,
    pub(super) path: &'a str,
    pub(super) parameters: Vec<&'a Value>,
    /// What a body may be, by media type; none where there is no body.
    pub(super) bodies: Option<&'a Map<String, Value>>,
    pub(super) responses: BTreeMap<u16, &'a Value>,
    /// Whether it is served where everything else is.
    pub(super) is_public: bool,
}

impl Description {
    /// `docs/openapi.yaml`.
    pub(super) fn of_http() -> Self {
        Self::read("openapi.yaml", jsonschema::draft202012::new)
    }

    /// `docs/asyncapi.yaml`.
    pub(super) fn of_socket() -> Self {
        Self::read("asyncapi.yaml", jsonschema::draft7::new)
    }

    fn read(
        name: &str,
        dialect: fn(&Value) -> Result<Validator, jsonschema::ValidationError<'static>>,
    ) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        let root: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let mut closed = root.clone();
        close(&mut closed["components"]["schemas"]);
        Self { root, closed, dialect }
    }

    /// What a value is, or what it refers to.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            None => value,
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("it is within the description");
                self.resolve(self.root.pointer(pointer).unwrap_or_else(|| panic!("no {reference}")))
            }
        }
    }

    /// A schema of the description by itself. A `strict` one refuses members that are not described, which readers ignore.
    pub(super) fn validator(&self, schema: &Value, strict: bool) -> Validator {
        let mut whole = schema.clone();
        if strict {
            close(&mut whole);
        }
        let components = if strict { &self.closed } else { &self.root };
        // The schema is beside what it refers to.
        let whole = json!({ "allOf": [whole], "components": components["components"] });
        (self.dialect)(&whole).unwrap_or_else(|bad| panic!("{schema}: {bad}"))
    }

    pub(super) fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.root["paths"].as_object().expect("there are paths");
        paths.iter().flat_map(|(path, item)| self.methods(path, item)).collect()
    }

    fn methods<'a>(&'a self, path: &'a str, item: &'a Value) -> impl Iterator<Item = Operation<'a>> {
        let shared = item["parameters"].as_array();
        METHODS.into_iter().filter_map(move |method| {
            let operation = item.get(method)?;
            let own = operation["parameters"].as_array();
            let parameters = shared.into_iter().chain(own).flatten();
            let body = self.resolve(&operation["requestBody"]);
            let responses = operation["responses"].as_object().expect("there are responses");
            Some(Operation {
                id: operation["operationId"].as_str().expect("it has a name"),
                method: method.to_uppercase(),
                path,
                parameters: parameters.map(|parameter| self.resolve(parameter)).collect(),
                bodies: body["content"].as_object(),
                responses: responses
                    .iter()
                    .map(|(status, response)| (status.parse().unwrap(), self.resolve(response)))
                    .collect(),
                is_public: item.get("servers").is_none(),
            })
        })
    }
}

/// Says of every object that it has no other members than those named.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties")
                && !members.contains_key("$ref")
                && !members.contains_key("additionalProperties")
            {
                members.insert("additionalProperties".into(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What is wrong with a value; none if it is valid.
pub(super) fn wrong(validator: &Validator, value: &Value) -> Option<String> {
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{error} at {:?}", error.instance_path().to_string()))
        .collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// What each media type of a response is.
pub(super) fn content(response: &Value) -> impl Iterator<Item = (&str, &Value)> {
    response["content"].as_object().into_iter().flatten().map(|(kind, media)| (kind.as_str(), media))
}

/// The codes that a response may have.
pub(super) fn codes(response: &Value) -> Vec<&str> {
    let code = &response["content"]["application/problem+json"]["schema"]["properties"]["code"];
    let some = code["enum"].as_array().into_iter().flatten().chain(code.get("const"));
    some.map(|code| code.as_str().expect("a code is text")).collect()
}
