//! What a handler and a question see.

use std::sync::{Mutex, mpsc};

use super::*;

pub(crate) async fn a_transaction_sees_what_it_has_changed(store: Both) {
    let sees = act(|call, records: &mut dyn Records| {
        assert_eq!((call.subject, call.body.as_str(), call.now), ("ada", r#"{"a":1}"#, START));
        records.write("a", &1)?;
        assert_eq!(records.read::<u64>("a")?, Some(1));
        records.write("a", &2)?;
        assert_eq!(records.read::<u64>("a")?, Some(2));
        assert_eq!(records.range("a"..="a")?.len(), 1);
        records.delete("a")?;
        assert_eq!(records.read::<u64>("a")?, None);
        null()
    });
    ran(&store, run("a", r#"{"a":1}"#, sees)).await.unwrap();
}

pub(crate) async fn records_are_in_the_order_of_their_keys(store: Both) {
    let writes = act(|_, records: &mut dyn Records| {
        for key in ["b", "a/2", "a/10", "ä"] {
            records.write(key, &key)?;
        }
        null()
    });
    ran(&store, run("a", "{}", writes)).await.unwrap();
    let reads = act(|_, records: &mut dyn Records| {
        let keys = |from: &str, to: &str| -> Result<Vec<String>, Fault> {
            Ok(records.range(from..=to)?.into_iter().map(|(key, _)| key).collect())
        };
        assert_eq!(keys("", "\u{10ffff}")?, ["a/10", "a/2", "b", "ä"]);
        assert_eq!(keys("a/", "a/~")?, ["a/10", "a/2"]);
        assert_eq!(keys("a/2", "b")?, ["a/2", "b"]);
        assert_eq!(keys("b", "a")?, Vec::<String>::new());
        for no_key in ["", &"k".repeat(MAX_KEY + 1)] {
            assert!(matches!(records.get(no_key), Err(Fault::Limit(_))));
            assert!(matches!(records.write(no_key, &1), Err(Fault::Limit(_))));
        }
        null()
    });
    ran(&store, run("b", "{}", reads)).await.unwrap();
}

/// Looks twice, and between that lets others change what it looks at.
struct Twice(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>);

impl Query for Twice {
    fn run(&self, _: Call<'_>, records: &dyn Reads) -> Result<Json, Fault> {
        let before = records.read::<u64>("n")?;
        self.0.send(()).unwrap();
        self.1.lock().unwrap().recv().unwrap();
        assert_eq!(records.read::<u64>("n")?, before);
        Err(Refusal::new("seen", before.unwrap_or_default().to_string()).into())
    }
}

pub(crate) async fn a_question_changes_nothing_and_sees_one_point_in_time(store: Both) {
    ran(&store, run("a", "{}", Count)).await.unwrap();
    let ((looked, looks), (changed, changes)) = (mpsc::channel(), mpsc::channel());
    let query = Arc::new(Twice(looked, changes.into()));
    let ask = Ask { parameters: Json::parse("{}").unwrap(), query };
    let asked = tokio::spawn({
        let transactions = store.transactions.clone();
        async move { transactions.ask(ada(), ask, START).await.unwrap() }
    });
    tokio::task::block_in_place(|| looks.recv().unwrap());
    ran(&store, run("b", "{}", Count)).await.unwrap();
    changed.send(()).unwrap();
    assert_eq!(asked.await.unwrap(), Verdict::Refused(Refusal::new("seen", "1")));
    assert_eq!(record(&store, ada(), "n").await.as_deref(), Some("2"));
}
