//! Several instances over one database.

use std::{collections::BTreeSet, sync::mpsc};

use sdk_core::protocol::{Offset, Outcome, StreamPosition};

use super::*;
use crate::{
    fixtures::{START, batch, client, collection, scope, set},
    storage::{
        Page,
        postgres::{
            connection::Signer,
            session::{Session, Whose},
            settings::Settings,
        },
        sql::{Rules, commit},
        sqlite::audit::DOCUMENTS,
    },
    tenant::TenantScope,
};

fn page(after: Option<StreamPosition>) -> Page {
    Page { collection: collection("cards"), after, bytes: usize::MAX }
}

/// The offsets of a reader that follows, with what it has read of each document.
async fn follow(store: &PostgresStore, scope: &TenantScope, at: &mut Option<StreamPosition>) -> Vec<u64> {
    let changes = store.changes(scope.clone(), page(at.clone())).await.unwrap();
    assert!(changes.recovered);
    *at = Some(changes.to);
    changes.documents.iter().map(|changed| changed.doc.rev.0).collect()
}

#[tokio::test]
async fn what_two_instances_commit_is_one_history_without_gaps_or_repetitions() {
    let options = fresh();
    let instances = [instance(&options), instance(&options)];
    let ada = scope("acme", "ada");
    // Each operation goes to both, as it does where a client hears nothing of the first.
    let commits = (1..=40_u8).flat_map(|n| instances.iter().map(move |instance| (n, instance)));
    let commits = commits.map(|(n, instance)| {
        let batch = batch(&ada, client(n), vec![set(1, &format!("doc{n}"), &[("x", "1")])]);
        instance.commit(batch)
    });
    let committed = futures::future::join_all(commits).await;
    let mut offsets = Vec::new();
    for pair in committed.chunks(2) {
        let [first, second] = [0, 1].map(|one| pair[one].as_ref().unwrap());
        assert_eq!((first.actor, &first.judgements), (second.actor, &second.judgements));
        assert_eq!(first.judgements[0].outcome, Outcome::Accepted {});
        assert_eq!(first.advances.len() + second.advances.len(), 1, "one of the two had the effect");
        offsets.push(first.judgements[0].position.as_ref().unwrap().offset.0);
    }
    let actors: BTreeSet<_> = committed.iter().map(|one| one.as_ref().unwrap().actor.0).collect();
    assert_eq!(actors, (1..=40).collect());
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=40).collect::<Vec<_>>());
    // The advances of both follow on one another, too.
    let mut advances: Vec<_> = committed.iter().flat_map(|one| &one.as_ref().unwrap().advances).collect();
    advances.sort_by_key(|advance| advance.to.offset);
    assert!(advances.windows(2).all(|pair| pair[0].to == pair[1].from));
    let seen = follow(&instances[0], &ada, &mut None).await;
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_that_follows_sees_each_change_once_while_instances_commit() {
    let options = fresh();
    let instances = [instance(&options), instance(&options)];
    let ada = scope("acme", "ada");
    instances[0].commit(batch(&ada, client(1), vec![])).await.unwrap();
    let writing = async {
        for n in 1..=60_u64 {
            let [first, second] = [2, 3].map(|number| {
                let id = format!("{number}-{n}");
                batch(&ada, client(number), vec![set(n, &id, &[("x", "1")])])
            });
            let (first, second) = futures::join!(instances[0].commit(first), instances[1].commit(second));
            first.unwrap();
            second.unwrap();
        }
    };
    let (mut at, mut seen) = (None, Vec::new());
    let mut writing = std::pin::pin!(writing);
    let mut done = false;
    while !done {
        done = futures::poll!(writing.as_mut()).is_ready();
        seen.extend(follow(&instances[seen.len() % 2], &ada, &mut at).await);
    }
    assert_eq!(seen, (1..=120).collect::<Vec<_>>());
}

/// One transaction is open while fifty others want to commit: no reader is past it before it is there.
#[tokio::test]
async fn a_transaction_that_commits_late_is_skipped_by_no_reader() {
    let options = fresh();
    let named = Options { url: format!("{}&application_name=behind", options.url), ..options.clone() };
    let (store, reader) = (instance(&named), instance(&options));
    let (ada, bob) = (scope("acme", "ada"), scope("other", "bob"));
    store.commit(batch(&ada, client(1), vec![])).await.unwrap();
    let mut at = None;
    follow(&reader, &ada, &mut at).await;

    // Another instance has judged its batch, and does not commit yet.
    let (judged, is_judged) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let late = batch(&ada, client(2), vec![set(1, "late", &[("x", "1")])]);
    let settings = Arc::new(Settings::new(&options).unwrap());
    let slow = std::thread::spawn(move || {
        let signer = Arc::new(Signer { key: Key::fleeting().unwrap(), chain: DOCUMENTS });
        let mut rules = Rules {
            limits: Limits::default(),
            resolvers: Resolvers::default(),
            new_epoch: Box::new(|| Epoch::new(&random::name()).unwrap()),
        };
        Session::new(settings, signer).write(Whose::Tenant("acme"), |connection| {
            let committed = commit::batch(connection, &late, &mut rules)?;
            judged.send(()).unwrap();
            released.recv().unwrap();
            Ok::<_, crate::storage::StorageError>(committed)
        })
    });
    is_judged.await.unwrap();

    let others = (1..=50).map(|n| {
        let (store, ada) = (store.clone(), ada.clone());
        tokio::spawn(async move {
            let batch = batch(&ada, client(3), vec![set(n, &format!("doc{n}"), &[("x", "1")])]);
            store.commit(batch).await.unwrap()
        })
    });
    let others: Vec<_> = others.collect();
    // Who has nothing to do with it is not held up.
    reader.commit(batch(&bob, client(4), vec![set(1, "b", &[("x", "1")])])).await.unwrap();
    // All that is readable meanwhile is what was there before, also once the others wait for it.
    let mut waiting = 0;
    while waiting == 0 {
        assert!(follow(&reader, &ada, &mut at).await.is_empty());
        waiting = owner(&options, |client| {
            let sql = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                       WHERE application_name = 'behind' AND locktype = 'advisory' AND NOT granted";
            client.query_one(sql, &[]).unwrap().get::<_, i64>(0)
        });
    }
    assert!(follow(&reader, &ada, &mut at).await.is_empty());
    release.send(()).unwrap();
    let first = slow.join().unwrap().unwrap().judgements[0].position.as_ref().unwrap().offset;
    assert_eq!(first, Offset(1));
    let mut seen = Vec::new();
    for other in others {
        other.await.unwrap();
        seen.extend(follow(&reader, &ada, &mut at).await);
    }
    assert_eq!(seen, (1..=51).collect::<Vec<_>>());
}

#[tokio::test]
async fn connections_that_are_cut_come_back_and_nothing_is_half_acknowledged() {
    let options = fresh();
    let options = Options { url: format!("{}&application_name=cut", options.url), ..options };
    let store = instance(&options);
    let ada = scope("acme", "ada");
    let mut done = 0;
    for round in 1..=5_u64 {
        let ours = options.clone();
        let cutting = tokio::task::spawn_blocking(move || {
            owner(&ours, |client| {
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                           WHERE application_name = 'cut'";
                client.query_one(sql, &[]).unwrap();
            });
        });
        for n in (round - 1) * 20 + 1..=round * 20 {
            // As a client does: the same again, until it is acknowledged.
            loop {
                let batch = batch(&ada, client(1), vec![set(n, "a", &[("x", n.to_string().as_str())])]);
                match store.commit(batch).await {
                    Ok(committed) => {
                        assert_eq!(committed.judgements[0].outcome, Outcome::Accepted {});
                        break;
                    }
                    Err(error) => assert!(matches!(error, crate::storage::StorageError::Unavailable(_))),
                }
            }
            done += 1;
        }
        cutting.await.unwrap();
    }
    let changes = loop {
        if let Ok(changes) = store.changes(ada.clone(), page(None)).await {
            break changes;
        }
    };
    assert_eq!(changes.to.offset, Offset(done));
}

/// PostgreSQL rolls such a transaction back at COMMIT, and reports success.
#[tokio::test]
async fn a_transaction_with_a_failure_that_nobody_looked_at_is_not_taken_for_committed() {
    let options = fresh();
    let settings = Arc::new(Settings::new(&options).unwrap());
    let rows = std::thread::spawn(move || {
        let signer = Arc::new(Signer { key: Key::fleeting().unwrap(), chain: DOCUMENTS });
        let mut session = Session::new(settings, signer);
        let mut write = |back: bool| {
            session.write(Whose::Tenant("acme"), |connection| {
                connection.execute("INSERT INTO retired (actor) VALUES (1)", ())?;
                connection.control("SAVEPOINT unseen")?;
                assert!(connection.execute("INSERT INTO retired (actor) VALUES (NULL)", ()).is_err());
                if back {
                    connection.control("ROLLBACK TO unseen")?;
                }
                Ok::<_, crate::storage::StorageError>(())
            })
        };
        assert!(write(false).is_err());
        assert!(write(true).is_ok());
        let count = |connection: &dyn crate::storage::sql::Connection| {
            connection.one("SELECT count(*) FROM retired", (), |row| row.get::<i64>(0))
        };
        session.read(Whose::Tenant("acme"), count).unwrap()
    });
    assert_eq!(rows.join().unwrap(), 1);
}

#[tokio::test]
async fn old_deletions_are_forgotten_and_epochs_renewed_for_every_tenant() {
    let store = instance(&fresh());
    for tenant in ["acme", "other"] {
        let gone = sdk_core::protocol::Operation {
            intents: vec![sdk_core::protocol::Intent::Delete {}],
            ..set(2, "a", &[])
        };
        let operations = vec![set(1, "a", &[("x", "1")]), gone, set(3, "b", &[("x", "1")])];
        store.commit(batch(&scope(tenant, "ada"), client(1), operations)).await.unwrap();
    }
    assert_eq!(store.prune(START).await.unwrap(), 2);
    assert_eq!(store.prune(START).await.unwrap(), 0);
    let before = store.changes(scope("acme", "ada"), page(None)).await.unwrap();
    assert_eq!(before.documents.len(), 1);
    assert_eq!(store.renew_epochs().await.unwrap(), 2);
    let after = store.changes(scope("acme", "ada"), page(Some(before.to))).await.unwrap();
    assert!(!after.recovered);
    assert_eq!(after.documents, before.documents);
}
