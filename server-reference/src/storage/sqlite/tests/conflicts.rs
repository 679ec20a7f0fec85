//! Resolvers on the server, and what is recorded of each resolution.

use sdk_core::{
    protocol::{
        Choice, DocKey, FieldName, Fields, Intent, Json, Operation, Outcome, ResolvedBy, Resolves, Strategy,
    },
    reconcile::{Conflict, Resolution},
};

use super::*;
use crate::{
    fixtures::{fields, resume},
    storage::KEPT_RESOLUTIONS,
    tenant::TenantScope,
};

fn text() -> FieldName {
    FieldName::new("text").unwrap()
}

type Decision = dyn Fn(&Conflict) -> Resolution + Send + Sync;

/// Joins two texts; what it gets tells it everything.
fn join(conflict: &Conflict) -> Resolution {
    let of = |side: &Option<Fields>| {
        let text = side.as_ref().and_then(|fields| fields.get(&text())).map(Json::as_str);
        text.unwrap_or("\"\"").trim_matches('"').to_owned()
    };
    let (base, mine, theirs) = (of(&conflict.base), of(&conflict.mine), of(&conflict.theirs));
    let joined = format!("\"{base}: {mine} and {theirs}\"");
    Resolution::Merged([(text(), Json::parse(joined).unwrap())].into())
}

fn resolving(resolver: impl Fn(&Conflict) -> Resolution + Send + Sync + 'static) -> SqliteDocuments {
    in_memory().with_resolvers(Resolvers::default().with(collection("notes"), resolver))
}

fn note(seq: u64, value: &str) -> Operation {
    let doc = DocKey::new("notes", "a").unwrap();
    let mut operation = Operation { doc, ..set(seq, "a", &[("text", value)]) };
    operation.base.was = Some(fields(&[("text", "\"base\"")]));
    operation
}

fn commit(documents: &mut SqliteDocuments, scope: &TenantScope, number: u8, operation: Operation) -> Outcome {
    let collections = vec![resume("notes", Strategy::Merge)];
    let batch = Batch { collections, ..batch(scope, client(number), vec![operation]) };
    documents.commit_group(vec![batch]).remove(0).unwrap().judgements.remove(0).outcome
}

fn shown(documents: &SqliteDocuments, scope: &TenantScope) -> String {
    let page = Page { collection: collection("notes"), after: None, bytes: usize::MAX };
    let changes = documents.changes(scope, &page).unwrap();
    let found = changes.documents[0].doc.values().find(|(name, _)| **name == text());
    found.unwrap().1.as_str().to_owned()
}

fn records(documents: &SqliteDocuments, scope: &TenantScope) -> Vec<ResolutionRecord> {
    documents.resolutions(scope, &DocKey::new("notes", "a").unwrap()).unwrap()
}

#[test]
fn a_resolver_ends_a_conflict_at_once_and_its_record_can_be_replayed() {
    let (mut documents, ada, ben) = (resolving(join), scope("acme", "ada"), scope("acme", "ben"));
    commit(&mut documents, &ada, 1, note(1, "\"one\""));
    let mine = note(1, "\"two\"");
    assert_eq!(commit(&mut documents, &ben, 2, mine.clone()), Outcome::Accepted {});
    assert_eq!(shown(&documents, &ada), "\"base: two and one\"");
    assert_eq!(commit(&mut documents, &ben, 2, mine), Outcome::Accepted {}, "a repetition has no effect");
    assert_eq!(shown(&documents, &ada), "\"base: two and one\"");

    let [record] = &records(&documents, &ada)[..] else { panic!("one resolution, one record") };
    assert_eq!((record.by, record.on_server, record.client), (ResolvedBy::Merger, true, client(2)));
    assert_eq!(record.conflict.author.as_ref().unwrap().subject, "ada");
    assert_eq!(join(&record.conflict), record.resolution);
    assert_eq!(record.result, Some(fields(&[("text", "\"base: two and one\"")])));
    assert!(records(&documents, &scope("other", "ada")).is_empty());
}

#[test]
fn a_resolver_may_take_either_side() {
    for (resolution, outcome, text) in [
        (Resolution::TakeMine, Outcome::Accepted {}, "\"two\""),
        (Resolution::TakeTheirs, Outcome::Superseded {}, "\"one\""),
    ] {
        let (ada, ben) = (scope("acme", "ada"), scope("acme", "ben"));
        let taken = resolution.clone();
        let mut documents = resolving(move |_| taken.clone());
        commit(&mut documents, &ada, 1, note(1, "\"one\""));
        assert_eq!(commit(&mut documents, &ben, 2, note(1, "\"two\"")), outcome);
        assert_eq!(shown(&documents, &ada), text);
        assert_eq!(records(&documents, &ada)[0].resolution, resolution);
    }
}

#[test]
fn a_resolver_that_panics_defers_or_talks_nonsense_leaves_the_conflict_to_the_client() {
    let huge = format!("\"{}\"", "x".repeat(Limits::default().document_bytes));
    let nonsense = Resolution::Merged([(text(), Json::parse(huge).unwrap())].into());
    let resolvers: [Box<Decision>; 3] = [
        Box::new(|_| panic!("a fault of the application's")),
        Box::new(|_| Resolution::Defer),
        Box::new(move |_| nonsense.clone()),
    ];
    for resolver in resolvers {
        let (mut documents, ada, ben) = (resolving(resolver), scope("acme", "ada"), scope("acme", "ben"));
        commit(&mut documents, &ada, 1, note(1, "\"one\""));
        let outcome = commit(&mut documents, &ben, 2, note(1, "\"two\""));
        assert!(matches!(outcome, Outcome::Conflicted(_)), "{outcome:?}");
        assert_eq!(shown(&documents, &ada), "\"one\"");
        assert!(records(&documents, &ada).is_empty());
    }
}

#[test]
fn a_clients_resolution_is_recorded_with_what_it_was_made_from() {
    let (mut documents, ada, ben) = (in_memory(), scope("acme", "ada"), scope("acme", "ben"));
    commit(&mut documents, &ada, 1, note(1, "\"one\""));
    let mine = note(1, "\"two\"");
    assert!(matches!(commit(&mut documents, &ben, 2, mine.clone()), Outcome::Conflicted(_)));
    let page = Page { collection: collection("notes"), after: None, bytes: usize::MAX };
    let changes = documents.changes(&ben, &page).unwrap();
    let conflict = Conflict {
        doc: mine.doc.clone(),
        fields: vec![text()],
        base: mine.base.was.clone(),
        mine: Some(fields(&[("text", "\"two\"")])),
        theirs: Some(fields(&[("text", "\"one\"")])),
        author: None,
    };
    let document = &changes.documents[0].doc;
    let settled = join(&conflict).settle(ResolvedBy::Person, &conflict, &mine, document, changes.to).unwrap();
    assert_eq!(commit(&mut documents, &ben, 2, settled), Outcome::Accepted {});
    assert_eq!(shown(&documents, &ada), "\"base: two and one\"");
    let [record] = &records(&documents, &ada)[..] else { panic!("one resolution, one record") };
    assert_eq!((&record.conflict, record.by, record.on_server), (&conflict, ResolvedBy::Person, false));
    assert_eq!(record.resolution, join(&record.conflict), "the same merger would decide the same");
}

#[test]
fn a_document_keeps_its_newest_resolutions() {
    let (mut documents, ada, ben) = (resolving(join), scope("acme", "ada"), scope("acme", "ben"));
    for seq in 1..=KEPT_RESOLUTIONS as u64 + 3 {
        let fresh = |who: &str| {
            let text = Json::parse(format!("\"{who} {seq}\"")).unwrap();
            Operation { intents: vec![Intent::Set([(self::text(), text)].into())], ..note(seq, "\"\"") }
        };
        commit(&mut documents, &ada, 1, fresh("ada"));
        commit(&mut documents, &ben, 2, fresh("ben"));
    }
    let records = records(&documents, &ada);
    assert_eq!(records.len(), KEPT_RESOLUTIONS);
    assert_eq!(records.last().map(|record| record.seq.0), Some(KEPT_RESOLUTIONS as u64 + 3));
}

#[test]
fn a_judgement_of_an_earlier_release_knows_its_decisions_by_the_time_alone() {
    let (mut documents, ben) = (in_memory(), scope("acme", "ben"));
    let mine = note(1, "\"two\"");
    let first = commit(&mut documents, &ben, 2, mine.clone());
    let made = sdk_core::protocol::encode(&mine.at);
    documents.connection.execute("UPDATE judgements SET made = ?1", [made]).unwrap();
    let resolves = Resolves { choice: Choice::Theirs, by: ResolvedBy::Person, mine: vec![], was: None };
    let decided = Operation { resolves: Some(resolves), ..mine.clone() };
    assert_eq!(commit(&mut documents, &ben, 2, decided), first);
    let other = commit(&mut documents, &ben, 2, Operation { schema: 1, ..note(1, "\"three\"") });
    assert!(matches!(other, Outcome::Rejected(_)), "of its schema nothing is known");
}
