//! A client from its store on, whatever that holds and whatever a server says.

use bolero::check;
use sdk_core::{
    clock::Millis,
    engine::{
        Config, Effect, Engine, Input, Now, QueryId, Subscription,
        storage::{Batch, OutboxRecord, Query, Rows, Stored},
    },
    protocol::{
        ClientFrame, ClientId, CollectionName, Start, Strategy, TopicName, decode, decode_server_frame,
        encode,
    },
};

fn config() -> Config {
    let collection = |name, strategy| (CollectionName::new(name).expect("it is a name"), strategy);
    let collections = vec![collection("cards", Strategy::FieldLevel), collection("drafts", Strategy::Manual)];
    Config::new(collections, ClientId::from_random([7; 16]))
}

/// Above an empty line is what is stored, each record on its line and the metadata first; below it are the frames.
#[test]
fn from_store_and_server() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let (stored, frames) = text.split_once("\n\n").unwrap_or(("", text));
        let mut lines = stored.lines();
        let meta = lines.next().filter(|meta| !meta.is_empty()).map(str::to_owned);
        let outbox =
            (1..).zip(lines).map(|(key, text)| OutboxRecord { key, text: text.to_owned() }).collect();
        let stored = Stored { outbox, meta, cursors: Some(vec![]), notes: vec![] };
        let mut client = Client { engine: Engine::restore(stored, config(), 7), now: 1_000, link: None };
        client.hear(Input::Open(QueryId(1), Query::all(config().collections[0].0.clone())));
        let topic = TopicName::new("topic").expect("it is a name");
        let subscription = Subscription { topic, start: Start::Earliest {}, durable: None };
        client.hear(Input::Subscribe(QueryId(2), subscription));
        client.hear(Input::Timeout);
        for frame in frames.split('\n') {
            let Some(link) = client.link else { break };
            let frame = match decode_server_frame(frame) {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            client.hear(Input::Received(link, frame));
        }
        client.now += 120_000;
        client.hear(Input::Timeout);
    });
}

struct Client {
    engine: Engine,
    now: u64,
    link: Option<sdk_core::engine::LinkId>,
}

impl Client {
    /// Does what an input leads to, and what that leads to. The store is well and empty, and there is no HTTP.
    fn hear(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        let mut steps = 0;
        while let Some(input) = inputs.pop_front() {
            steps += 1;
            assert!(steps < 10_000, "it never comes to rest");
            self.now += 1;
            let now = Now { monotonic: Millis(self.now), wall: Millis(1_700_000_000_000 + self.now) };
            self.engine.handle(now, input);
            while let Some(effect) = self.engine.poll_effect() {
                match effect {
                    Effect::Commit(id, batch) => {
                        if let Batch::Outbox(batch) = batch {
                            batch.put.iter().for_each(|record| assert!(record.key < 1 << 53));
                        }
                        inputs.push_back(Input::Committed(id));
                    }
                    Effect::Read(id, ..) => inputs.push_back(Input::Loaded(id, Ok(Rows::default()))),
                    Effect::FetchToken => inputs.push_back(Input::Token(Ok("token".to_owned()))),
                    Effect::Connect(link) => {
                        self.link = Some(link);
                        inputs.push_back(Input::LinkUp(link));
                    }
                    Effect::Disconnect(_) => self.link = None,
                    Effect::Send(_, frame) => {
                        assert_eq!(decode::<ClientFrame>(&encode(&frame)), Ok(frame));
                    }
                    _ => {}
                }
            }
        }
    }
}
