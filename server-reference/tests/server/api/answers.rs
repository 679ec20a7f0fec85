//! Whether an answer is one that is described.

use std::collections::{BTreeMap, HashMap};

use jsonschema::Validator;
use reqwest::header::HeaderMap;
use serde_json::Value;
use server_reference::codes;

use super::description::{self, Description, Operation, wrong};

/// What a server said.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Holds answers to a description.
pub(super) struct Judge<'a> {
    http: &'a Description,
    validators: HashMap<(String, u16, String), Validator>,
    /// How often each operation was answered with each status.
    pub(super) seen: BTreeMap<(String, u16), usize>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(http: &'a Description) -> Self {
        Self { http, validators: HashMap::new(), seen: BTreeMap::new() }
    }

    /// What is wrong with an answer, in the words of somebody who is to mend it.
    pub(super) fn problem(&mut self, operation: &Operation<'a>, answer: &Answer) -> Option<String> {
        let Operation { id, method, path, .. } = operation;
        let status = answer.status;
        if status >= 500 {
            return Some(format!("{method} {path} is answered with {status}: a fault of the server's"));
        }
        let Some(response) = operation.responses.get(&status) else {
            return Some(format!(
                "{method} {path} is answered with {status}, which docs/openapi.yaml does not have: describe it under \
                 `responses` of {id}, or mend the server"
            ));
        };
        *self.seen.entry(((*id).to_owned(), status)).or_default() += 1;
        let wrong = self.headers(response, answer).or_else(|| self.body(operation, response, answer));
        wrong.map(|wrong| {
            format!("{status} of {id} ({method} {path}) is not as docs/openapi.yaml has it: {wrong}")
        })
    }

    fn headers(&mut self, response: &Value, answer: &Answer) -> Option<String> {
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.http.resolve(header);
            match answer.header(name) {
                None if header["required"] == true => return Some(format!("the header {name} is missing")),
                None => {}
                Some(text) => {
                    let validator = self.http.validator(&header["schema"], true);
                    if let Some(wrong) = wrong(&validator, &text.into()) {
                        return Some(format!("the header {name}: {wrong}"));
                    }
                }
            }
        }
        let told = answer.headers.keys().map(|name| name.as_str());
        let mut ours = told.filter(|name| name.starts_with("stream-") || name.starts_with("producer-"));
        // Refusals about topics have the headers of success where they say more.
        let described = |name: &str| {
            let all = self.http.root["components"]["headers"].as_object().into_iter().flatten();
            all.map(|(known, _)| known).any(|known| known.eq_ignore_ascii_case(name))
        };
        ours.find(|name| !described(name)).map(|name| format!("components.headers lacks {name}"))
    }

    fn body(&mut self, operation: &Operation<'a>, response: &'a Value, answer: &Answer) -> Option<String> {
        if operation.method == "HEAD" {
            return (!answer.body.is_empty()).then(|| "an answer to HEAD has no body".to_owned());
        }
        let mut kinds = description::content(response).peekable();
        if kinds.peek().is_none() {
            let said = String::from_utf8_lossy(&answer.body);
            return (!answer.body.is_empty()).then(|| format!("it has a body, {said}"));
        }
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((named, media)) = kinds.find(|(named, _)| *named == kind || *named == "*/*") else {
            return Some(format!("its content type is {kind:?}"));
        };
        // What is compressed is looked at where it was not asked for like that.
        if !named.ends_with("json") || answer.header("content-encoding").is_some() {
            return None;
        }
        let Some(body) = answer.json() else { return Some("its body is not JSON".to_owned()) };
        let key = (operation.id.to_owned(), answer.status, named.to_owned());
        let validator =
            self.validators.entry(key).or_insert_with(|| self.http.validator(&media["schema"], true));
        if let Some(wrong) = wrong(validator, &body) {
            return Some(format!("{wrong}: {body}"));
        }
        if named == "application/problem+json" {
            let code = body["code"].as_str().unwrap_or_default();
            if body["status"] != answer.status || !codes::all().contains(&(code, answer.status)) {
                return Some(format!("code and status do not belong together: {body}"));
            }
        }
        None
    }
}
