//! Routes, methods and codes.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Client, Method};
use sdk_core::protocol::ErrorCode;
use serde_json::{Value, json};
use server_reference::{codes, config::ServerConfig};

use super::description::{self, Description};
use crate::{support::Running, tenants};

/// Codes that no problem document has: they are those of judgements, of frames, or of what a client does not send.
const NO_PROBLEMS: [&str; 8] = [
    "aborted",
    "dependency_failed",
    "document_too_large",
    "invalid_operation",
    "migration_dropped",
    "migration_failed",
    "operation_id_reused",
    "slow_consumer",
];
/// Of those, the ones that end a session.
const UNEXPECTED: &str = "unexpected_frame";

/// The methods that a path is described with, those that are implied included.
fn described(http: &Description) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in http.operations() {
        let methods = all.entry(operation.path.to_owned()).or_default();
        if operation.method == "GET" {
            methods.insert("HEAD".into());
        }
        methods.insert(operation.method);
    }
    all
}

#[tokio::test]
async fn every_route_and_method_is_described_and_there_is_no_other() {
    let http = Description::of_http();
    let described = described(&http);
    let any_port = Some(([127, 0, 0, 1], 0).into());
    let server = Running::start_with(|config| ServerConfig { metrics: any_port, ..config }).await;
    let routes: BTreeSet<String> = tenants::routes().iter().map(|route| route.replace("{*", "{")).collect();
    for path in described.keys() {
        assert!(routes.contains(path), "docs/openapi.yaml describes {path}, which the server does not have");
    }
    for path in &routes {
        let methods = described.get(path).unwrap_or_else(|| {
            panic!(
                "docs/openapi.yaml lacks {path}: describe it below `paths`, with each method, status and code"
            )
        });
        let address = if path == "/metrics" { server.metrics.unwrap() } else { server.address };
        let url = format!("http://{address}{}", path.replace(['{', '}'], ""));
        // Nothing has this method, and so the answer tells which there are.
        let answer = Client::new().request(Method::PATCH, url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 405, "{path}");
        let allowed = answer.headers()["allow"].to_str().unwrap();
        let allowed: BTreeSet<String> = allowed.split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!(
            &allowed, methods,
            "the methods of {path}: on the left those of the server, on the right those of docs/openapi.yaml"
        );
    }
}

#[test]
fn every_code_is_described_with_its_status() {
    let http = Description::of_http();
    let known: BTreeSet<(&str, u16)> = codes::all().into_iter().collect();
    let mut used = BTreeSet::new();
    for operation in http.operations() {
        for (status, response) in &operation.responses {
            for code in description::codes(response) {
                let (id, method, path) = (operation.id, &operation.method, operation.path);
                assert!(
                    known.contains(&(code, *status)),
                    "docs/openapi.yaml has {code} under {status} of {id} ({method} {path}); the server's tables have not"
                );
                used.insert(code.to_owned());
            }
        }
    }
    for (code, status) in codes::all() {
        let elsewhere = NO_PROBLEMS.contains(&code) || code == UNEXPECTED;
        assert!(
            used.contains(code) != elsewhere,
            "docs/openapi.yaml has no operation that may be refused with {code}: describe it under {status} of those that may"
        );
    }
    let listed = http.root["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let listed: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
    let used: Vec<&str> = used.iter().map(String::as_str).collect();
    let common: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    for both in [&http, &Description::of_socket()] {
        assert_eq!(
            both.root["components"]["schemas"]["ErrorCode"]["enum"],
            json!(common),
            "components.schemas.ErrorCode"
        );
    }
    assert_eq!(listed, used, "components.schemas.Code of docs/openapi.yaml, in the order of the alphabet");
}

#[tokio::test]
async fn the_server_tells_what_is_described() {
    let server = Running::start().await;
    for (path, begins) in [("/openapi.yaml", "openapi: 3.1"), ("/asyncapi.yaml", "asyncapi: 3.")] {
        let answer = reqwest::get(server.http(path)).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/yaml");
        assert!(answer.text().await.unwrap().starts_with(begins), "{path}");
    }
}

/// Both have the schemas of operations, judgements and documents.
#[test]
fn what_both_describe_they_describe_alike() {
    // A tuple is written in another way in the dialect of each.
    fn alike(schema: &Value) -> Value {
        match schema {
            Value::Object(members) => {
                let tuple = members.contains_key("prefixItems");
                let renamed = members.iter().map(|(name, value)| {
                    let name = match name.as_str() {
                        "prefixItems" => "items",
                        "items" if tuple => "additionalItems",
                        "dependentRequired" => "dependencies",
                        name => name,
                    };
                    (name.to_owned(), alike(value))
                });
                Value::Object(renamed.collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(alike).collect()),
            other => other.clone(),
        }
    }
    let (http, socket) = (Description::of_http(), Description::of_socket());
    let socket = socket.root["components"]["schemas"].as_object().unwrap();
    let http = http.root["components"]["schemas"].as_object().unwrap();
    let both: Vec<&String> = socket.keys().filter(|name| http.contains_key(*name)).collect();
    assert!(both.len() > 20, "{both:?}");
    for name in both {
        assert_eq!(alike(&http[name]), socket[name], "{name}: docs/openapi.yaml and docs/asyncapi.yaml");
    }
}
