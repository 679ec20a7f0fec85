//! Requests made from `docs/openapi.yaml`, right ones and wrong ones, against a server: each answer is one that is described.
//!
//! `WEBWAKA_API_REQUESTS` is how many are sent, `WEBWAKA_API_SEED` makes others.

use std::{collections::BTreeMap, env, fmt, time::Duration};

use reqwest::{Client, Method};
use sdk_core::clock::Millis;
use serde_json::{Value, json};
use server_reference::{
    config::ServerConfig,
    limits::{Quota, Quotas, Rates},
    office::Charge,
    streams::StreamsConfig,
    transactions::{Handlers, TransactionsConfig, ledger},
};

use super::{
    answers::{Answer, Judge},
    description::{Description, Operation},
    generate::Generator,
    tour::{Stop, TOUR},
};
use crate::support::Running;

/// Requests where nothing else was said.
const REQUESTS: usize = 6_000;
/// After so many, all that can succeed is done once more.
const TOUR_EVERY: usize = 1_000;
/// Bytes of a body that no request may have.
pub(super) const LARGE: usize = 600_000;
/// Statuses that need a server that is ill, or a peer that takes half a minute.
const SELDOM: [u16; 4] = [101, 408, 500, 503];
/// Names of which each stands for many things, so that requests meet.
const NAMES: [(&str, &[&str]); 13] = [
    ("topic", &["t1", "t2", "a/b", "closed", "text"]),
    ("group", &["g1", "g2", "g3"]),
    ("id", &["s1", "s2"]),
    ("collection", &["cards", "notes"]),
    ("account", &["a", "b"]),
    ("stream", &["t1", "t2", "a/b"]),
    ("wake_stream", &["wakes"]),
    ("pattern", &["*", "t*", "a/**"]),
    ("worker", &["w1", "w2"]),
    ("offset", &["now", "-1"]),
    ("Idempotency-Key", &["\"k1\"", "\"k2\"", "\"k3\"", "\"k4\"", "\"k5\"", "\"k6\""]),
    ("poison", &["park", "halt"]),
    ("client", &["00000000000000000000000000000001", "00000000000000000000000000000002"]),
];
/// Transactions that there are, and questions.
const TRANSACTIONS: [(&str, &str); 5] = [
    ("ledger.open", r#"{"account":"a","currency":"NGN"}"#),
    ("ledger.open", r#"{"account":"b","currency":"NGN"}"#),
    ("ledger.issue", r#"{"account":"a","amount":5}"#),
    ("ledger.transfer", r#"{"from":"a","to":"b","amount":1}"#),
    ("ledger.close", "{}"),
];
const QUESTIONS: [&str; 4] = [
    "ledger.balance?account=a",
    "ledger.balance?account=b",
    "ledger.totals?currency=NGN",
    "ledger.totals?currency=x",
];
pub(super) fn number(variable: &str, otherwise: usize) -> usize {
    let text = env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// A request, so that it can be shown.
#[derive(Clone)]
pub(super) struct Asked {
    method: String,
    target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {:.60}", value.escape_ascii().to_string())?;
        }
        write!(f, "{:.2000}", String::from_utf8_lossy(&self.body))
    }
}

struct World<'a> {
    server: Running,
    client: Client,
    generator: Generator<'a>,
    /// Tokens of somebody who may do everything, by chance one of others.
    tokens: Vec<String>,
    super_admin: String,
}

impl<'a> World<'a> {
    async fn new(http: &'a Description, seed: u64) -> Self {
        let handlers = ledger::with(Handlers::default()).unwrap();
        let transactions = TransactionsConfig { handlers, ..TransactionsConfig::default() };
        let brief = Duration::from_millis(20);
        let streams = StreamsConfig {
            long_poll: brief,
            events_lifetime: brief,
            event_bytes: 4_000,
            append_bytes: 16_000,
            ..StreamsConfig::default()
        };
        let rates = Rates { messages: 1_000_000, bytes: 1 << 40, burst: 10 };
        let quota = Quota { rates, connections: 1_000 };
        let quotas = Quotas { user: quota, tenant: quota, address: quota, ..Quotas::DEFAULT };
        let any_port = Some(([127, 0, 0, 1], 0).into());
        let server = Running::start_with(|config| ServerConfig {
            transactions,
            streams,
            metrics: any_port,
            quotas,
            ..config
        })
        .await;
        let all = json!([
            { "collection": "*" },
            { "topic": "*" },
            { "topic": "*", "may": "admin" },
            { "collection": "*", "may": "admin" },
            { "transaction": "*" },
            { "subject": "*", "may": "admin" },
        ]);
        let past = server.issuer.mint_for("acme", "ada", None, 60, Millis(1_000_000)).unwrap();
        let charges = json!([{ "tenant": "*", "may": "request" }, { "tenant": "*", "may": "approve" }]);
        let charges: Vec<Charge> = serde_json::from_value(charges).unwrap();
        let now = server_reference::clock::wall();
        let super_admin = server.issuer.mint_super_admin("operators", "sam", &charges, 600, now).unwrap();
        let tokens = vec![
            server.granted("acme", "ada", all),
            server.token("acme", "root"),
            server.token("globex", "eve"),
            server.granted(
                "acme",
                "bob",
                json!([{ "collection": "notes" }, { "topic": "t1", "may": "read" }]),
            ),
            past,
            super_admin.clone(),
            "e30.e30.e30".to_owned(),
            String::new(),
        ];
        let mut generator = Generator::new(http, seed);
        for (name, values) in NAMES {
            values.iter().for_each(|value| generator.known.note(name, *value));
        }
        // One failure is enough to make a dead letter.
        generator.known.note("attempts", 1);
        generator.known.note("wait_ms", 0);
        Self { server, client: Client::new(), generator, tokens, super_admin }
    }

    fn token(&mut self) -> String {
        match self.generator.below(20) {
            0..14 => self.tokens[0].clone(),
            14 | 15 => self.tokens[1].clone(),
            _ => self.generator.one(&self.tokens.clone()).clone(),
        }
    }

    /// A request for an operation, as it is described.
    fn right(&mut self, operation: &Operation<'a>) -> Asked {
        let (mut target, mut query, mut headers) = (operation.path.to_owned(), Vec::new(), Vec::new());
        for parameter in &operation.parameters {
            let name = parameter["name"].as_str().unwrap();
            let seldom = parameter["required"] != true && !self.generator.chance(30);
            if seldom {
                continue;
            }
            let value = match self.generator.valid(&parameter["schema"], name, 0) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            match parameter["in"].as_str() {
                Some("path") => {
                    // An address with dots alone is another's.
                    let value = if matches!(&*value, "." | "..") { "dots".to_owned() } else { value };
                    target = target.replace(&format!("{{{name}}}"), &escaped(&value, name == "topic"));
                }
                Some("query") => query.push(format!("{name}={}", escaped(&value, false))),
                _ => headers.push((name.to_owned(), value.into_bytes())),
            }
        }
        let (transaction, transacted) = *self.generator.one(&TRANSACTIONS);
        match operation.id {
            "transact" => target = format!("/v1/transactions/{transaction}"),
            "ask" => target = format!("/v1/transactions/{}", self.generator.one(&QUESTIONS)),
            _ => {}
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        let mut body = Vec::new();
        if let Some(bodies) = operation.bodies {
            let kinds: Vec<&String> = bodies.keys().collect();
            let kind = (*self.generator.one(&kinds)).clone();
            let schema = &bodies[&kind]["schema"];
            let (kind, bytes) = if kind == "*/*" {
                let kind =
                    *self.generator.one(&["text/plain", "application/octet-stream", "application/x-y"]);
                (kind.to_owned(), self.generator.hostile().into_bytes())
            } else if operation.id == "transact" {
                (kind, transacted.as_bytes().to_vec())
            } else {
                (kind, self.generator.valid(schema, "", 0).to_string().into_bytes())
            };
            headers.push(("content-type".to_owned(), kind.into_bytes()));
            body = bytes;
        }
        let token = self.bearer(operation);
        headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
        if self.generator.chance(10) {
            headers.push(("accept-encoding".to_owned(), b"gzip".to_vec()));
        }
        Asked { method: operation.method.clone(), target, headers, body }
    }

    /// The token that goes with a request: a worker's, where it is for workers.
    fn bearer(&mut self, operation: &Operation<'a>) -> String {
        let workers = ["callBack", "ackWork", "releaseWork"].contains(&operation.id);
        let known = self.generator.known.of("token").map_or(0, Vec::len);
        if workers && known > 0 && self.generator.chance(80) {
            let index = self.generator.below(known);
            return self.generator.known.of("token").unwrap()[index].as_str().unwrap().to_owned();
        }
        self.token()
    }

    /// Makes something wrong with a request.
    fn spoil(&mut self, operation: &Operation<'a>, asked: &mut Asked) {
        let generator = &mut self.generator;
        let path = asked.target.split('?').next().unwrap().to_owned();
        match generator.below(14) {
            0 | 1 => {
                // In the place of a parameter. An address without it, or with dots alone, is another's.
                let parts = operation.path.split('/').enumerate();
                let places: Vec<usize> =
                    parts.filter(|(_, part)| part.starts_with('{')).map(|(at, _)| at).collect();
                let hostile = match generator.below(4) {
                    0 => "%ff%fe".to_owned(),
                    _ => escaped(&generator.hostile(), false),
                };
                if !places.is_empty() && !hostile.is_empty() && !hostile.starts_with("%2e") {
                    let at = *generator.one(&places);
                    let mut parts: Vec<&str> = path.split('/').collect();
                    parts[at] = &hostile;
                    asked.target = asked.target.replacen(&path, &parts.join("/"), 1);
                }
            }
            2 | 3 => {
                let name = *generator
                    .one(&["offset", "live", "since", "limit", "after", "root", "ticket", "within", "x"]);
                let value = match generator.below(3) {
                    0 => "%ff".to_owned(),
                    _ => escaped(&generator.hostile(), false),
                };
                let sign = if asked.target.contains('?') { '&' } else { '?' };
                asked.target = format!("{}{sign}{name}={value}", asked.target);
            }
            4 | 5 => {
                let names = [
                    "stream-ttl",
                    "stream-closed",
                    "producer-id",
                    "producer-seq",
                    "stream-retention",
                    "content-type",
                    "idempotency-key",
                    "stream-forked-from",
                    "ce-specversion",
                    "ce-id",
                    "stream-redelivery",
                    "accept-encoding",
                    "if-none-match",
                    "origin",
                    "stream-expires-at",
                    "stream-fork-offset",
                    "access-grant",
                    "tracestate",
                    "traceparent",
                ];
                let value = match generator.below(4) {
                    0 => vec![0xff, 0xe4, b'x'],
                    1 => b"18446744073709551616".to_vec(),
                    2 => b"application/json; charset=\"x".to_vec(),
                    _ => generator.hostile().bytes().filter(|byte| *byte >= b' ' && *byte != 127).collect(),
                };
                asked.headers.push(((*generator.one(&names)).to_owned(), value));
            }
            6 if !asked.headers.is_empty() => {
                let some = generator.below(asked.headers.len());
                asked.headers.remove(some);
            }
            7 if !asked.headers.is_empty() => {
                let some = generator.below(asked.headers.len());
                let again = asked.headers[some].clone();
                asked.headers.push(again);
            }
            8 => asked.body.truncate(asked.body.len() / 2),
            9 => asked.body = vec![0xff, 0xfe, b'{'],
            10 => asked.body = vec![b'['; 20_000],
            11 => asked.body = vec![b' '; LARGE],
            _ => {
                if let Ok(mut body) = serde_json::from_slice::<Value>(&asked.body) {
                    for _ in 0..1 + generator.below(2) {
                        generator.spoil(&mut body);
                    }
                    asked.body = body.to_string().into_bytes();
                } else {
                    asked.body = generator.anything(0).to_string().into_bytes();
                }
            }
        }
    }

    /// Sends a request. None where the connection was reset under a large body that is not read, which may destroy the answer.
    async fn send(&self, operation: &Operation<'a>, asked: &Asked) -> Option<Answer> {
        let address = if operation.is_public { self.server.address } else { self.server.metrics.unwrap() };
        let method = Method::from_bytes(asked.method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{address}{}", asked.target));
        for (name, value) in &asked.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        let answer = async {
            let answer = request.body(asked.body.clone()).timeout(Duration::from_secs(60)).send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok::<_, reqwest::Error>(Answer { status, headers, body: answer.bytes().await?.to_vec() })
        };
        match answer.await {
            Ok(answer) => Some(answer),
            Err(_) if asked.body.len() >= LARGE / 2 => None,
            Err(error) => panic!("no answer, as after a panic ({error:?}) to {asked:?}"),
        }
    }
}

/// Percent escapes for all that has a meaning, or is no character of an address.
fn escaped(text: &str, keep_slashes: bool) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte) || (keep_slashes && byte == b'/')
    };
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    text.bytes().map(escape).collect()
}

/// Who asks, and what is thought of the answers.
pub(super) struct Run<'a> {
    world: World<'a>,
    judge: Judge<'a>,
    /// One of each kind.
    problems: BTreeMap<String, String>,
}

impl<'a> Run<'a> {
    pub(super) async fn new(http: &'a Description, seed: u64) -> Self {
        let world = World::new(http, seed).await;
        Self { world, judge: Judge::new(http), problems: BTreeMap::new() }
    }

    /// Sends a request, and looks at its answer, whose status is returned.
    pub(super) async fn ask(&mut self, operation: &Operation<'a>, asked: &Asked) -> Option<u16> {
        let answer = self.world.send(operation, asked).await?;
        if let Some(problem) = self.judge.problem(operation, &answer) {
            let said = String::from_utf8_lossy(&answer.body);
            let headers = &answer.headers;
            let first = problem.split(':').next().unwrap_or_default().to_owned();
            let whole = format!("{problem}\nrequest:\n{asked:?}\n\nanswer:\n{headers:?}\n{said:.2000}");
            self.problems.entry(first).or_insert(whole);
        }
        let known = &mut self.world.generator.known;
        // What is in topics is anything.
        if let Some(body) = answer.json().filter(|_| operation.id != "readTopic") {
            known.learn(&body);
        }
        for (header, name) in [("stream-next-offset", "offset"), ("etag", "If-None-Match")] {
            if let Some(text) = answer.header(header) {
                known.note(name, text);
            }
        }
        Some(answer.status)
    }

    /// What was found to be wrong.
    pub(super) fn problems(self) -> Vec<String> {
        self.problems.into_values().collect()
    }

    /// Does all that can succeed.
    async fn tour(&mut self, operations: &[Operation<'a>]) {
        for stop in TOUR {
            if let Some((operation, asked)) = self.stop(operations, stop) {
                self.ask(operation, &asked).await;
            }
        }
    }

    /// The request of one stop; none while something is not known that it names.
    pub(super) fn stop<'o>(
        &self,
        operations: &'o [Operation<'a>],
        (id, target, headers, body): &Stop,
    ) -> Option<(&'o Operation<'a>, Asked)> {
        let operation = operations.iter().find(|operation| operation.id == *id);
        let operation = operation.unwrap_or_else(|| panic!("docs/openapi.yaml has no operation {id}"));
        let world = &self.world;
        let fill = |text: &str| world.generator.known.fill(text);
        let (target, body) = (fill(target)?, fill(body)?);
        let is_worker = ["callBack", "ackWork", "releaseWork"].contains(id);
        let is_granted = id.contains("ccess") || headers.iter().any(|(name, _)| *name == "access-grant");
        let token = if is_worker { fill("<token>") } else { None };
        let token = token
            .unwrap_or_else(|| if is_granted { world.super_admin.clone() } else { world.tokens[0].clone() });
        let mut all = vec![("authorization".to_owned(), format!("Bearer {token}").into_bytes())];
        for (name, value) in *headers {
            if let Some(value) = fill(value) {
                all.push(((*name).to_owned(), value.into_bytes()));
            }
        }
        let method = operation.method.clone();
        Some((operation, Asked { method, target, headers: all, body: body.into_bytes() }))
    }
}

#[tokio::test]
async fn whatever_is_asked_is_answered_as_described() {
    let http = Description::of_http();
    let operations = http.operations();
    let seed = number("WEBWAKA_API_SEED", 1) as u64;
    let mut run = Run::new(&http, seed).await;
    for round in 0..number("WEBWAKA_API_REQUESTS", REQUESTS) {
        if round % TOUR_EVERY == 0 {
            run.tour(&operations).await;
        }
        let operation = run.world.generator.one(&operations);
        let mut asked = run.world.right(operation);
        if run.world.generator.chance(45) {
            for _ in 0..1 + run.world.generator.below(2) {
                run.world.spoil(operation, &mut asked);
            }
        }
        run.ask(operation, &asked).await;
    }
    let Run { judge, problems, .. } = run;
    let all: Vec<String> = problems.into_values().collect();
    assert!(all.is_empty(), "seed {seed}, {} kinds of problem:\n\n{}", all.len(), all.join("\n\n"));
    let seen =
        |operation: &Operation<'_>, status: u16| judge.seen.contains_key(&(operation.id.to_owned(), status));
    let mut unsuccessful = Vec::new();
    for operation in &operations {
        let statuses = operation.responses.keys().copied().filter(|status| !SELDOM.contains(status));
        let never: Vec<u16> = statuses.filter(|status| !seen(operation, *status)).collect();
        println!("{} was never answered with {never:?}", operation.id);
        if !(200..300).any(|status| seen(operation, status)) {
            unsuccessful.push(operation.id);
        }
    }
    // Requests that nobody can carry out would show little. One that opens a session is not to succeed here.
    assert!(unsuccessful.len() * 10 <= operations.len(), "seed {seed}: never carried out: {unsuccessful:?}");
}
