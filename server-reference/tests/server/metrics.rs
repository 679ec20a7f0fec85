//! What an operator sees of a running server.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use sdk_core::protocol::ServerFrame;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Running, push, set};

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The samples of a scrape, by name and labels as they are written.
pub(crate) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub(crate) async fn of(server: &Running) -> Self {
        let address = server.metrics.expect("metrics are served");
        let reply = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.headers()["content-type"], "text/plain; version=0.0.4");
        Self::read(&reply.text().await.unwrap())
    }

    /// Reads the text format of Prometheus (0.0.4), strictly, and holds it to the conventions for names.
    fn read(text: &str) -> Self {
        let (mut helped, mut types, mut samples) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help has words");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a name");
                assert!(helped.contains(name), "{line}: no help");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                let legal = |letter: char| letter.is_ascii_lowercase() || letter == '_';
                assert!(name.chars().all(legal), "{line}");
                assert!(name.starts_with("webwaka_") || name.starts_with("process_"), "{line}");
                types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
                let name = sample.split('{').next().unwrap();
                let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
                let histogram = base.filter(|base| types.get(*base).is_some_and(|kind| kind == "histogram"));
                assert!(histogram.is_some() || types.contains_key(name), "{line}: no type");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}: no number"));
                assert!(samples.insert(sample.to_owned(), value).is_none(), "{line}: twice");
            }
        }
        Self(samples)
    }

    pub(crate) fn value(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or(0.0)
    }
}

async fn observed() -> Running {
    let metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Running::start_with(|config| server_reference::config::ServerConfig { metrics, ..config }).await
}

#[tokio::test]
async fn what_a_server_does_is_in_its_metrics() {
    let server = observed().await;
    let mut session = server.session(1).await;
    session.send(&push(vec![set(1, "a", "title", "\"secret words\"")])).await;
    assert!(matches!(session.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let client = reqwest::Client::new();
    let refused = client.post(server.http("/v1/push")).bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    for path in ["/readyz", "/acme/ada", "/v1/groups/acme"] {
        reqwest::get(server.http(path)).await.unwrap();
    }

    let scrape = Scrape::of(&server).await;
    for (sample, value) in [
        ("webwaka_frames_received_total{kind=\"hello\"}", 1.0),
        ("webwaka_frames_received_total{kind=\"push\"}", 1.0),
        ("webwaka_frames_sent_total{kind=\"welcome\"}", 1.0),
        ("webwaka_frames_sent_total{kind=\"outcomes\"}", 1.0),
        ("webwaka_connections", 1.0),
        ("webwaka_connections_greeting", 0.0),
        ("webwaka_tokens_refused_total{reason=\"malformed\"}", 1.0),
        ("webwaka_http_requests_total{method=\"POST\",route=\"/v1/push\",status=\"401\"}", 1.0),
        ("webwaka_http_requests_total{method=\"GET\",route=\"/readyz\",status=\"200\"}", 1.0),
        ("webwaka_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"}", 1.0),
        ("webwaka_http_requests_total{method=\"GET\",route=\"/v1/groups/{group}\",status=\"401\"}", 1.0),
        ("webwaka_http_requests_total{method=\"GET\",route=\"/v1/realtime\",status=\"101\"}", 1.0),
        // The hello, and the push.
        ("webwaka_store_call_duration_seconds_count{call=\"commit\",store=\"documents\"}", 2.0),
        ("webwaka_store_call_duration_seconds_bucket{call=\"commit\",store=\"documents\",le=\"+Inf\"}", 2.0),
    ] {
        assert_eq!(scrape.value(sample), value, "{sample}");
    }
    assert!(scrape.value("webwaka_frames_received_bytes_total{kind=\"push\"}") > 50.0);
    let named = ["acme", "ada", "cards", "secret words"];
    let telling = scrape.0.keys().find(|sample| named.iter().any(|name| sample.contains(name)));
    assert_eq!(telling, None, "a label has what came from outside");

    drop(session);
    let gone = async {
        while Scrape::of(&server).await.value("webwaka_sessions_closed_total{reason=\"gone\"}") < 1.0 {}
    };
    timeout(PATIENCE, gone).await.expect("the session is counted as gone");
}

#[tokio::test]
async fn metrics_are_not_for_everybody_who_reaches_the_server() {
    let server = observed().await;
    let reply = reqwest::get(server.http("/metrics")).await.unwrap();
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    assert_eq!(Running::start().await.metrics, None);
}

#[tokio::test]
async fn what_subscriptions_have_not_done_and_what_became_of_things_is_told() {
    let server = observed().await;
    let token = server.token("acme", "ada");
    let ask = async |method: Method, path: &str, body: serde_json::Value| {
        let request = Client::new().request(method, server.http(path)).bearer_auth(&token);
        let request = request.header("content-type", "application/json").header("idempotency-key", "\"k\"");
        request.body(body.to_string()).send().await.unwrap().status().as_u16()
    };
    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hook =
        json!({ "type": "webhook", "pattern": "jobs/*", "webhook": { "url": format!("http://{closed}/") } });
    assert_eq!(ask(Method::PUT, "/v1/streams/__ds/subscriptions/s", hook).await, 201);
    assert_eq!(ask(Method::PUT, "/v1/streams/jobs/1", json!([1, 2, 3])).await, 201);
    assert_eq!(ask(Method::POST, "/v1/streams/jobs/1", json!([4, 5])).await, 204);
    assert_eq!(ask(Method::POST, "/v1/transactions/no.such", json!(null)).await, 404);
    let mut session = server.session(1).await;
    session.send(&push(vec![set(1, "a", "x", "1"), set(2, "a", "x", "2")])).await;
    assert!(matches!(session.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let told = async {
        loop {
            let scrape = Scrape::of(&server).await;
            let failed = scrape.0.get("webwaka_webhook_calls_total{outcome=\"failed\"}");
            if failed.is_some_and(|failed| *failed >= 1.0)
                && scrape.value("webwaka_subscriptions_failing") == 1.0
                && scrape.value("webwaka_subscription_lag_events") == 5.0
            {
                break scrape;
            }
        }
    };
    let scrape = timeout(PATIENCE, told).await.expect("a webhook that is not there is told of");
    assert_eq!(scrape.value("webwaka_subscriptions"), 1.0);
    assert_eq!(scrape.value("webwaka_events_appended_total"), 5.0);
    assert_eq!(scrape.value("webwaka_operations_total{outcome=\"accepted\"}"), 2.0);
}

/// Started by the continuous integration, with the program in `PROMTOOL`.
#[tokio::test]
#[ignore = "needs promtool"]
async fn prometheus_has_nothing_to_say_against_metrics_and_alerts() {
    let promtool = std::env::var_os("PROMTOOL").expect("PROMTOOL names the program");
    let server = observed().await;
    let mut session = server.session(1).await;
    session.send(&push(vec![set(1, "a", "x", "1")])).await;
    assert!(matches!(session.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let metrics = reqwest::get(format!("http://{}/metrics", server.metrics.unwrap())).await.unwrap();
    let file = server.data.path().join("metrics");
    std::fs::write(&file, metrics.text().await.unwrap()).unwrap();
    let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/alerts.yaml");
    for (arguments, input) in [
        (&["check", "metrics"][..], Some(&file)),
        (&["check", "rules", "--lint=all", "--lint-fatal", alerts], None),
    ] {
        let mut check = std::process::Command::new(&promtool);
        let input =
            input.map_or(std::process::Stdio::null(), |file| std::fs::File::open(file).unwrap().into());
        let output = check.args(arguments).stdin(input).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

/// The metrics that a text names, without what a histogram adds to its name.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    let metrics = words.filter(|word| word.starts_with("webwaka_"));
    metrics
        .map(|word| {
            let ends = ["_duration_seconds_bucket", "_duration_seconds_count", "_duration_seconds_sum"];
            let histogram = ends.iter().any(|end| word.ends_with(end));
            if histogram { word.rsplit_once('_').map_or(word, |(name, _)| name) } else { word }
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_name_only_metrics_that_there_are_and_lead_to_what_there_is() {
    let alerts = include_str!("../../../docs/operations/alerts.yaml");
    let dashboard = include_str!("../../../docs/operations/dashboard.json");
    let runbooks = include_str!("../../../docs/operations/runbooks.md");
    let made = named(include_str!("../../src/metrics/mod.rs"));
    for (page, text) in [("alerts", alerts), ("dashboard", dashboard), ("runbooks", runbooks)] {
        let names = named(text);
        assert!(names.len() >= 5, "{page} names next to nothing");
        let missing: Vec<_> = names.difference(&made).collect();
        assert!(missing.is_empty(), "{page}: {missing:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 10));

    let headings: BTreeSet<String> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let leads: Vec<_> = alerts.lines().filter_map(|line| line.split_once("runbooks.md#")).collect();
    assert_eq!(leads.len(), alerts.matches("- alert: ").count(), "each alert leads somewhere");
    for (_, heading) in leads {
        assert!(headings.contains(heading), "{heading}");
    }
}
