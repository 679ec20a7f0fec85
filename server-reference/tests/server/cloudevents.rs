//! CloudEvents over HTTP: structured, batched and binary.

use reqwest::{Client, Method, RequestBuilder};
use sdk_core::protocol::{ClientFrame, Json, Outcome, Publication, Publish, Seq, ServerFrame, TopicName};
use serde_json::{Value, json};
use server_reference::{config::ServerConfig, streams::StreamsConfig};

use crate::support::Running;

const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
const BATCH: &str = "application/cloudevents-batch+json";

fn request(server: &Running, method: Method, path: &str) -> RequestBuilder {
    let token = server.token("acme", "ada");
    Client::new().request(method, server.http(&format!("/v1/streams/{path}"))).bearer_auth(token)
}

fn post(server: &Running, topic: &str, content_type: &str, body: impl ToString) -> RequestBuilder {
    request(server, Method::POST, topic).header("content-type", content_type).body(body.to_string())
}

/// Posts, and returns the offset of the last event.
async fn offset(request: RequestBuilder) -> u64 {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
    let position = answer.headers()["stream-next-offset"].to_str().unwrap().to_owned();
    u64::from_str_radix(position.split_once('_').unwrap().1, 16).unwrap()
}

async fn refused(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let document: Value = answer.json().await.unwrap();
    (status, document["code"].as_str().unwrap().to_owned())
}

async fn events(server: &Running, topic: &str) -> Vec<Value> {
    let answer = request(server, Method::GET, &format!("{topic}?offset=-1")).send().await.unwrap();
    answer.json().await.unwrap()
}

fn event(id: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "placed", "data": data })
}

#[tokio::test]
async fn an_event_is_one_in_whichever_mode_it_comes_and_over_the_websocket_too() {
    let server = Running::start().await;
    let (first, second) = (event("1", json!({ "n": 1 })), event("2", json!(2)));
    assert_eq!(offset(post(&server, "orders", STRUCTURED, &first)).await, 1);
    assert_eq!(offset(post(&server, "orders", BATCH, json!([first, second]))).await, 2);
    assert_eq!(offset(post(&server, "orders", STRUCTURED, format!(" {first}\n"))).await, 1);
    let mut socket = server.session(1).await;
    let publication = Publication {
        seq: Seq(1),
        topic: TopicName::new("orders").unwrap(),
        event: Json::parse(second.to_string()).unwrap(),
    };
    socket.send(&ClientFrame::Publish(Publish { publications: vec![publication] })).await;
    let Some(ServerFrame::Outcomes(outcomes)) = socket.next_answer().await else { panic!() };
    let Outcome::Published { position } = outcomes.judgements[0].outcome else { panic!("{outcomes:?}") };
    assert_eq!(position.offset, 2);
    assert_eq!(events(&server, "orders").await, [first, second]);
}

#[tokio::test]
async fn attributes_are_headers_in_binary_mode_and_the_body_is_the_data() {
    let server = Running::start().await;
    let binary = |id: &str| {
        request(&server, Method::POST, "log")
            .header("ce-specversion", "1.0")
            .header("ce-id", id)
            .header("ce-source", "/stra%C3%9Fe")
            .header("ce-type", "t")
            .header("ce-subject", "a%22b")
            .header("ce-tries", "3")
            .header("ce-said", r#""so \"it\\ is%21\"""#)
            .header("ce-partly", r#"5" disk"#)
    };
    let bodies: [(&str, &[u8]); 3] = [
        ("application/vnd.x+json", b" {\"n\": [1]} "),
        ("text/plain", b"a\n\"b\""),
        ("image/png", b"\x00\xff"),
    ];
    for (id, (content_type, body)) in bodies.into_iter().enumerate() {
        let request = || binary(&id.to_string()).header("content-type", content_type).body(body);
        assert_eq!(offset(request()).await, id as u64 + 1);
        assert_eq!(offset(request()).await, id as u64 + 1, "again");
    }
    assert_eq!(offset(binary("bare")).await, 4);
    let seen = events(&server, "log").await;
    for (event, id) in seen.iter().zip(["0", "1", "2", "bare"]) {
        assert_eq!(event["id"], id);
        assert_eq!(
            (&event["source"], &event["subject"], &event["tries"]),
            (&json!("/straße"), &json!("a\"b"), &json!("3"))
        );
        // Quotes come off first, then escapes of the URL; a quote in the middle is one.
        assert_eq!((&event["said"], &event["partly"]), (&json!(r#"so "it\ is!""#), &json!(r#"5" disk"#)));
    }
    assert_eq!(seen[0]["data"], json!({ "n": [1] }));
    assert_eq!((&seen[1]["data"], &seen[1]["datacontenttype"]), (&json!("a\n\"b\""), &json!("text/plain")));
    assert_eq!(seen[2]["data_base64"], "AP8=");
    assert!(seen[3].get("data").is_none() && seen[3].get("datacontenttype").is_none());
}

#[tokio::test]
async fn what_is_no_event_is_refused_by_code_and_nothing_of_its_request_is_written() {
    let server = Running::start_with(|config| ServerConfig {
        streams: StreamsConfig { event_bytes: 400, append_events: 3, ..config.streams },
        ..config
    })
    .await;
    let good = || event("1", json!(1));
    assert_eq!(offset(post(&server, "t", STRUCTURED, good())).await, 1);
    let many: Vec<Value> = (0..4).map(|n| event(&format!("m{n}"), json!(n))).collect();
    let cases = [
        (STRUCTURED, "{".to_owned(), 400, "bad_event"),
        (STRUCTURED, String::new(), 400, "bad_event"),
        (STRUCTURED, json!({ "type": "t" }).to_string(), 400, "bad_event"),
        (STRUCTURED, json!([good()]).to_string(), 400, "bad_event"),
        (BATCH, good().to_string(), 400, "bad_event"),
        (BATCH, "[]".to_owned(), 400, "bad_event"),
        (BATCH, json!([event("2", json!(2)), 7]).to_string(), 400, "bad_event"),
        (BATCH, json!([event("2", json!(2)), event("1", json!(9))]).to_string(), 409, "event_id_reused"),
        (BATCH, Value::from(many).to_string(), 413, "event_too_large"),
        (STRUCTURED, event("3", json!("x".repeat(400))).to_string(), 413, "event_too_large"),
    ];
    for (content_type, body, status, code) in cases {
        let answer = refused(post(&server, "t", content_type, &body)).await;
        assert_eq!(answer, (status, code.to_owned()), "{body}");
    }
    let binary = || request(&server, Method::POST, "t").header("ce-specversion", "1.0").header("ce-id", "4");
    assert_eq!(refused(binary()).await, (400, "bad_event".into()), "no source and no type");
    let whole = || binary().header("ce-source", "/").header("ce-type", "t");
    assert_eq!(refused(whole().header("ce-id", "5")).await, (400, "bad_header".into()));
    for bad in ["%zz", r#""no end"#, r#""more" than one"#, r#""\""#] {
        assert_eq!(refused(whole().header("ce-bad", bad)).await, (400, "bad_header".into()), "{bad}");
    }
    assert_eq!(refused(whole().header("stream-closed", "true")).await, (400, "bad_header".into()));
    let broken = whole().header("content-type", "application/json").body("{");
    assert_eq!(refused(broken).await, (400, "bad_event".into()));
    assert_eq!(events(&server, "t").await, [good()]);
}

#[tokio::test]
async fn a_topic_whose_maker_said_so_takes_the_bytes_of_events_as_they_come() {
    let server = Running::start().await;
    let made = request(&server, Method::PUT, "raw").header("content-type", "application/cloudevents+json");
    assert_eq!(made.send().await.unwrap().status(), 201);
    for _ in 0..2 {
        assert!(offset(post(&server, "raw", "application/cloudevents+json", event("1", json!(1)))).await > 0);
    }
    let text = request(&server, Method::GET, "raw?offset=-1").send().await.unwrap().text().await.unwrap();
    assert_eq!(text, event("1", json!(1)).to_string().repeat(2));
}

#[tokio::test]
async fn a_subject_is_the_lane_of_a_consumer_group() {
    let server = Running::start().await;
    let subjects = ["a", "a", "b"];
    let list: Vec<Value> = (0..3)
        .map(|n| {
            let mut event = event(&n.to_string(), json!(n));
            event["subject"] = subjects[n].into();
            event
        })
        .collect();
    assert_eq!(offset(post(&server, "work", BATCH, Value::from(list))).await, 3);
    let group = |method: Method, path: &str, body: Value| {
        Client::new()
            .request(method, server.http(&format!("/v1/groups/{path}")))
            .bearer_auth(server.token("acme", "ada"))
            .body(body.to_string())
            .send()
    };
    assert_eq!(group(Method::PUT, "g", json!({ "topic": "work" })).await.unwrap().status(), 201);
    let claimed = group(Method::POST, "g/claim", json!({ "worker": "w", "events": 10 })).await.unwrap();
    let claimed: Value = claimed.json().await.unwrap();
    let data: Vec<_> =
        claimed["events"].as_array().unwrap().iter().map(|one| one["event"]["data"].clone()).collect();
    assert_eq!(data, [json!(0), json!(2)], "the second waits for the first of its subject");
}
