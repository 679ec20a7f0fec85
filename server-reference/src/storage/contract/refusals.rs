//! What every store promises that keeps what clients were refused, as tests. `refusals_contract!(open)` runs them all
//! against a backend; `open` is an async function that gives an empty store and a guard of whatever must outlive it.

use std::sync::Arc;

use sdk_core::protocol::{
    ClientId, ErrorCode, Intent, Json, Judgement, OpId, Operation, Outcome, Publication, Rejection, Seq,
    encode,
};
use serde_json::json;

use super::{judge, read, value};
use crate::{
    fixtures::{START, batch, client, fields, granted, scope, set},
    storage::{
        Batch, Documents,
        events::{LetterId, LogEpoch, LogError, Position, TopicName, Which},
        refusals::{
            ClientChange, ClientDead, ClientFate, ClientLetter, ClientLetters, MAX_CLIENT_LETTERS, Note,
            Place,
        },
    },
    tenant::TenantScope,
};

/// One store, by what it is asked for.
pub(crate) struct Letters {
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) letters: Arc<dyn ClientLetters>,
}

macro_rules! refusals_contract {
    ($open:path) => {
        refusals_contract!(@tests $open:
            what_is_refused_for_good_is_a_letter_once_and_nothing_else_is,
            a_retried_operation_is_applied_once_upon_the_document_as_it_is,
            what_a_client_sends_anew_gets_the_judgement_of_the_operator,
            what_an_operator_has_applied_is_the_answer_to_what_its_client_tries_again,
            what_its_client_has_tried_again_no_operator_applies,
            of_what_was_tried_again_and_again_one_takes_effect,
            nobody_takes_the_place_of_what_is_not_theirs_or_is_of_another_document,
            an_operation_that_is_refused_again_is_another_letter,
            an_edited_operation_is_what_is_judged,
            a_client_hears_of_what_was_applied_for_as_long_as_it_holds_it,
            what_a_client_does_not_hold_any_more_is_over,
            a_refused_event_is_kept_until_it_is_published,
            an_edited_event_stays_edited_when_its_client_tries_it_again,
            of_two_copies_that_hold_an_event_each_the_one_is_told_whose_was_published,
            an_event_that_is_named_like_an_operation_leaves_its_letter_alone,
            letters_of_a_client_are_capped_and_the_oldest_go_first,
            what_clients_were_refused_is_for_those_who_administer_it,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (letters, _guard) = $open().await;
            $crate::storage::contract::refusals::$name(letters).await;
        }
    )*};
}
pub(crate) use refusals_contract;

fn ada() -> TenantScope {
    scope("acme", "ada")
}

/// Ada, with a token that lets her write but a part.
fn narrow() -> TenantScope {
    granted("ada", json!([{ "collection": "cards", "prefix": "mine/" }]))
}

/// Somebody who may do everything.
fn operator() -> TenantScope {
    scope("acme", "olga")
}

/// Counts up a number of a document by one.
fn count(seq: u64, id: &str) -> Operation {
    let name = fields(&[("n", "0")]).keys().next().unwrap().clone();
    let once = std::iter::once((name, 1)).collect();
    Operation { intents: vec![Intent::Increment(once)], ..set(seq, id, &[]) }
}

fn publication(seq: u64, event: &str) -> Publication {
    let topic = TopicName::new("t").unwrap();
    Publication { seq: Seq(seq), topic, event: Json::parse(event).unwrap() }
}

fn event(n: u32) -> String {
    format!(r#"{{"specversion":"1.0","type":"t","source":"/a","id":"1","data":{n}}}"#)
}

fn closed() -> Rejection {
    Rejection { code: ErrorCode::TopicClosed, message: "the topic is closed".into() }
}

impl Letters {
    async fn refuse(&self, operations: Vec<Operation>) -> Vec<Judgement> {
        self.documents.commit(batch(&narrow(), client(1), operations)).await.unwrap().judgements
    }

    async fn refuse_event(&self, publication: Publication) {
        let notes = vec![Note::Refused(publication, closed())];
        self.letters.note(ada(), client(1), notes, START).await.unwrap();
    }

    async fn all(&self) -> Vec<ClientLetter> {
        self.of(operator()).await.unwrap().letters
    }

    async fn of(&self, scope: TenantScope) -> Result<ClientDead, LogError> {
        self.letters.client_letters(scope, Which::After(0, 1_000), START).await
    }

    async fn one(&self, id: LetterId) -> ClientLetter {
        let one = self.letters.client_letters(operator(), Which::One(id), START).await.unwrap();
        one.letters.into_iter().next().unwrap()
    }

    async fn change(&self, change: ClientChange) -> ClientFate {
        let fates = self.letters.change_client_letters(operator(), change, START.plus(100)).await.unwrap();
        let [(_, fate)] = &fates[..] else { panic!("one fate: {fates:?}") };
        fate.clone()
    }

    /// What a client is told when it comes back and says which letters it holds.
    async fn back(&self, client: ClientId, holds: &[u64]) -> Vec<Judgement> {
        let holds = Some(holds.iter().copied().map(Seq).collect());
        let hello = Batch { holds, ..batch(&ada(), client, vec![]) };
        self.documents.commit(hello).await.unwrap().applied
    }
}

pub(crate) async fn what_is_refused_for_good_is_a_letter_once_and_nothing_else_is(store: Letters) {
    let refused = [set(2, "theirs/1", &[("x", "2")]), set(3, "theirs/1", &[("x", "3")])];
    for _ in 0..2 {
        let judged =
            store.refuse(vec![set(1, "mine/1", &[("x", "1")]), refused[0].clone(), refused[1].clone()]);
        assert_eq!(judged.await.len(), 3);
    }
    // It comes again under another id.
    store.refuse(vec![set(1, "mine/1", &[("x", "9")])]).await;
    let letters = store.all().await;
    let [first, second] = &letters[..] else { panic!("two letters: {letters:?}") };
    assert_eq!((first.seq, second.seq, first.client, &*first.subject), (Seq(2), Seq(3), client(1), "ada"));
    assert_eq!(first.place, Place::Document(refused[0].doc.clone()));
    assert_eq!((first.body.as_str(), first.attempts.len()), ("", 1), "a list leaves out what they hold");
    assert!(first.attempts[0].error.starts_with("forbidden"), "{:?}", first.attempts);
    assert_eq!(store.one(first.id).await.body, encode(&refused[0]));
}

pub(crate) async fn a_retried_operation_is_applied_once_upon_the_document_as_it_is(store: Letters) {
    // The operation is refused, and later ones of its client, which the server calls by greater numbers, are not.
    store.refuse(vec![count(1, "theirs/1")]).await;
    judge(&store.documents, vec![count(2, "theirs/1"), set(3, "theirs/1", &[("x", "3")])]).await;
    let id = store.all().await[0].id;
    assert_eq!(store.change(ClientChange::Retry(id)).await, ClientFate::Applied);
    for _ in 0..2 {
        assert_eq!(store.change(ClientChange::Retry(id)).await, ClientFate::Gone);
    }
    let changes = read(&store.documents, None).await;
    assert_eq!(value(&changes, "theirs/1", "n").as_deref(), Some("2"));
    assert_eq!(value(&changes, "theirs/1", "x").as_deref(), Some("3"));
    assert_eq!(changes.to.offset.0, 3, "it has a place of its own in the history");
    assert!(store.all().await.is_empty());
    // Two who were refused the same get what both of them did.
    store.refuse(vec![count(4, "theirs/1"), count(5, "theirs/1")]).await;
    for letter in store.all().await {
        assert_eq!(store.change(ClientChange::Retry(letter.id)).await, ClientFate::Applied);
    }
    assert_eq!(value(&read(&store.documents, None).await, "theirs/1", "n").as_deref(), Some("4"));
}

pub(crate) async fn what_a_client_sends_anew_gets_the_judgement_of_the_operator(store: Letters) {
    let operation = count(1, "theirs/1");
    store.refuse(vec![operation.clone()]).await;
    store.change(ClientChange::Retry(store.all().await[0].id)).await;
    let judged = judge(&store.documents, vec![operation]).await;
    assert!(matches!(judged[0].outcome, Outcome::Accepted {}), "{judged:?}");
    assert_eq!(judged[0].position.as_ref().map(|position| position.offset.0), Some(1));
    assert_eq!(value(&read(&store.documents, None).await, "theirs/1", "n").as_deref(), Some("1"));
}

/// Counts up in the place of an operation of the first client that was refused.
fn instead(seq: u64, of: u64, id: &str) -> Operation {
    Operation { replaces: Some(OpId { client: client(1), seq: Seq(of) }.into()), ..count(seq, id) }
}

async fn counted(store: &Letters, id: &str) -> Option<String> {
    value(&read(&store.documents, None).await, id, "n")
}

pub(crate) async fn what_an_operator_has_applied_is_the_answer_to_what_its_client_tries_again(
    store: Letters,
) {
    store.refuse(vec![count(1, "theirs/1")]).await;
    assert_eq!(store.change(ClientChange::Retry(store.all().await[0].id)).await, ClientFate::Applied);
    // The client has not heard of it, neither before it is told to forget the letter nor after.
    store.back(client(1), &[]).await;
    judge(&store.documents, vec![set(2, "theirs/2", &[("x", "1")])]).await;
    for _ in 0..2 {
        let judged = judge(&store.documents, vec![instead(3, 1, "theirs/1")]).await;
        assert_eq!((judged[0].seq, &judged[0].outcome), (Seq(3), &Outcome::Accepted {}));
        assert_eq!(judged[0].position.as_ref().map(|position| position.offset.0), Some(1));
    }
    // Of what says something else nothing was applied, and nothing is.
    let other = Operation { intents: set(4, "theirs/1", &[("n", "9")]).intents, ..instead(4, 1, "theirs/1") };
    let judged = judge(&store.documents, vec![other]).await;
    assert_eq!(judged[0].outcome, Outcome::Superseded {});
    assert_eq!(counted(&store, "theirs/1").await.as_deref(), Some("1"));
    // Also under another id of the same person, which a client takes when a copy has used its own.
    let renewed = batch(&ada(), client(2), vec![instead(5, 1, "theirs/1")]);
    let judged = store.documents.commit(renewed).await.unwrap().judgements;
    assert_eq!(judged[0].outcome, Outcome::Accepted {});
    assert_eq!(counted(&store, "theirs/1").await.as_deref(), Some("1"));
}

pub(crate) async fn what_its_client_has_tried_again_no_operator_applies(store: Letters) {
    store.refuse(vec![count(1, "theirs/1"), count(2, "theirs/2")]).await;
    let letters = store.all().await;
    let [letter, other] = &letters[..] else { panic!("two letters: {letters:?}") };
    judge(&store.documents, vec![instead(3, 1, "theirs/1")]).await;
    assert_eq!(store.change(ClientChange::Retry(letter.id)).await, ClientFate::Gone);
    assert_eq!(store.change(ClientChange::Discard(vec![letter.id])).await, ClientFate::Gone);
    let edit = ClientChange::Edit(letter.id, encode(&count(1, "theirs/1")));
    let answer = store.letters.change_client_letters(operator(), edit, START).await;
    assert!(matches!(answer, Err(LogError::NoSuchLetter)), "{answer:?}");
    // What was refused comes once more, late or from a copy, and is no letter any more.
    store.refuse(vec![count(1, "theirs/1")]).await;
    assert_eq!(store.all().await.iter().map(|letter| letter.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(counted(&store, "theirs/1").await.as_deref(), Some("1"));
}

pub(crate) async fn of_what_was_tried_again_and_again_one_takes_effect(store: Letters) {
    store.refuse(vec![count(1, "theirs/1")]).await;
    store.refuse(vec![instead(2, 1, "theirs/1")]).await;
    store.refuse(vec![count(1, "theirs/1")]).await;
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    assert_eq!(letter.seq, Seq(2), "the last that was tried");
    let better = Operation { replaces: None, ..count(2, "theirs/1") };
    assert_eq!(store.change(ClientChange::Edit(letter.id, encode(&better))).await, ClientFate::Edited);
    assert_eq!(store.change(ClientChange::Retry(letter.id)).await, ClientFate::Applied);
    let judged = judge(&store.documents, vec![instead(3, 1, "theirs/1")]).await;
    assert_eq!(judged[0].outcome, Outcome::Accepted {});
    // Neither does one that was tried in between and comes late make it twice, or a letter again.
    store.refuse(vec![count(1, "theirs/1"), instead(2, 1, "theirs/1")]).await;
    assert!(store.all().await.is_empty());
    assert_eq!(counted(&store, "theirs/1").await.as_deref(), Some("1"));
}

pub(crate) async fn nobody_takes_the_place_of_what_is_not_theirs_or_is_of_another_document(store: Letters) {
    store.refuse(vec![count(1, "theirs/1")]).await;
    let eve = batch(&scope("acme", "eve"), client(9), vec![instead(1, 1, "theirs/1")]);
    let judged = store.documents.commit(eve).await.unwrap().judgements;
    assert_eq!(judged[0].outcome, Outcome::Accepted {}, "it is one of her own");
    judge(&store.documents, vec![instead(2, 1, "theirs/2")]).await;
    assert_eq!(store.all().await.len(), 1);
    assert_eq!(store.change(ClientChange::Retry(store.all().await[0].id)).await, ClientFate::Applied);
    let eve = batch(&scope("acme", "eve"), client(9), vec![instead(2, 1, "theirs/1")]);
    store.documents.commit(eve).await.unwrap();
    judge(&store.documents, vec![instead(3, 1, "theirs/2")]).await;
    assert_eq!(counted(&store, "theirs/1").await.as_deref(), Some("3"));
    assert_eq!(counted(&store, "theirs/2").await.as_deref(), Some("2"));
}

pub(crate) async fn an_operation_that_is_refused_again_is_another_letter(store: Letters) {
    let empty = Operation { intents: vec![], ..set(1, "a", &[]) };
    judge(&store.documents, vec![empty]).await;
    let first = store.all().await[0].id;
    assert_eq!(store.change(ClientChange::Retry(first)).await, ClientFate::Refused);
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    assert_eq!((letter.id.key, letter.id.round, letter.attempts.len()), (first.key, 2, 2));
    assert_eq!((&*letter.attempts[1].worker, letter.since), ("olga", START.plus(100)));
    // A repetition of the first decision that comes late decides nothing.
    assert_eq!(store.change(ClientChange::Retry(first)).await, ClientFate::Gone);
    assert_eq!(store.change(ClientChange::Discard(vec![first])).await, ClientFate::Gone);
    assert_eq!(store.change(ClientChange::Discard(vec![letter.id])).await, ClientFate::Discarded);
    assert!(store.all().await.is_empty());
}

pub(crate) async fn an_edited_operation_is_what_is_judged(store: Letters) {
    let empty = Operation { intents: vec![], ..set(1, "a", &[]) };
    judge(&store.documents, vec![empty]).await;
    let id = store.all().await[0].id;
    let elsewhere = [encode(&set(1, "b", &[("x", "1")])), encode(&set(2, "a", &[("x", "1")])), "{}".into()];
    for other in elsewhere {
        let edit = ClientChange::Edit(id, other);
        let answer = store.letters.change_client_letters(operator(), edit, START).await;
        assert!(matches!(answer, Err(LogError::BadEdit(_))), "{answer:?}");
    }
    let better = encode(&set(1, "a", &[("x", "7")]));
    assert_eq!(store.change(ClientChange::Edit(id, better.clone())).await, ClientFate::Edited);
    assert_eq!((store.one(id).await.edited, store.one(id).await.body), (true, better));
    assert_eq!(store.change(ClientChange::Retry(id)).await, ClientFate::Applied);
    assert_eq!(value(&read(&store.documents, None).await, "a", "x").as_deref(), Some("7"));
}

pub(crate) async fn a_client_hears_of_what_was_applied_for_as_long_as_it_holds_it(store: Letters) {
    store.refuse(vec![count(1, "theirs/1"), count(2, "theirs/1")]).await;
    assert!(store.back(client(1), &[1, 2]).await.is_empty());
    store.change(ClientChange::Retry(store.all().await[0].id)).await;
    for _ in 0..2 {
        let told = store.back(client(1), &[2, 1]).await;
        let [judgement] = &told[..] else { panic!("one judgement: {told:?}") };
        assert_eq!(judgement.seq, Seq(1));
        assert!(matches!(judgement.outcome, Outcome::Accepted {}));
        assert_eq!(judgement.position, Some(read(&store.documents, None).await.to));
    }
    assert!(store.back(client(1), &[2]).await.is_empty(), "it has heard");
    assert!(store.back(client(1), &[2, 1]).await.is_empty());
    assert_eq!(store.all().await.len(), 1);
}

pub(crate) async fn what_a_client_does_not_hold_any_more_is_over(store: Letters) {
    store.refuse(vec![count(1, "theirs/1"), count(2, "theirs/2")]).await;
    store.refuse_event(publication(3, &event(1))).await;
    // One that does not say what it holds, and others, end nothing.
    judge(&store.documents, vec![]).await;
    store.back(client(2), &[]).await;
    assert_eq!(store.all().await.len(), 3);
    store.back(client(1), &[2]).await;
    let seqs: Vec<u64> = store.all().await.iter().map(|letter| letter.seq.0).collect();
    assert_eq!(seqs, [2]);
}

pub(crate) async fn a_refused_event_is_kept_until_it_is_published(store: Letters) {
    store.refuse_event(publication(1, &event(1))).await;
    store.refuse_event(publication(2, &event(2))).await;
    let letters = store.all().await;
    let [one, two] = &letters[..] else { panic!("two letters: {letters:?}") };
    assert_eq!(store.one(one.id).await.body, event(1));
    // Its client has it published.
    store.letters.note(ada(), client(1), vec![Note::Published(Seq(2))], START).await.unwrap();
    assert_eq!(store.change(ClientChange::Retry(two.id)).await, ClientFate::Gone);
    // An operator has the other: it is given back, however often, until it is settled.
    for _ in 0..2 {
        let fate = store.change(ClientChange::Retry(one.id)).await;
        assert_eq!(fate, ClientFate::Publish(TopicName::new("t").unwrap(), event(1)));
    }
    assert_eq!(store.change(ClientChange::Settle(one.id, Err(closed()))).await, ClientFate::Refused);
    let again = store.all().await[0].id;
    assert_eq!(again, LetterId { round: 2, ..one.id });
    let position = Position { epoch: LogEpoch(7), offset: 3 };
    assert_eq!(store.change(ClientChange::Settle(one.id, Ok(position))).await, ClientFate::Gone);
    assert_eq!(store.change(ClientChange::Settle(again, Ok(position))).await, ClientFate::Applied);
    assert!(store.all().await.is_empty());
    let told = store.back(client(1), &[1]).await;
    assert!(
        matches!(told[..], [Judgement { outcome: Outcome::Published { position: at }, .. }] if at == position)
    );
}

pub(crate) async fn an_edited_event_stays_edited_when_its_client_tries_it_again(store: Letters) {
    store.refuse_event(publication(1, &event(1))).await;
    store.refuse_event(publication(1, &event(2))).await;
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    assert_eq!(
        (letter.attempts.len(), store.one(letter.id).await.body),
        (2, event(2)),
        "its client mended it"
    );
    let answer = store
        .letters
        .change_client_letters(operator(), ClientChange::Edit(letter.id, "{}".into()), START)
        .await;
    assert!(matches!(answer, Err(LogError::BadEdit(_))), "{answer:?}");
    store.change(ClientChange::Edit(letter.id, event(3))).await;
    store.refuse_event(publication(1, &event(2))).await;
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    assert_eq!((letter.attempts.len(), letter.edited, store.one(letter.id).await.body), (3, true, event(3)));
}

/// No client of ours does so. The letter would hold an event in the place of an operation, and nobody could try it again.
pub(crate) async fn an_event_that_is_named_like_an_operation_leaves_its_letter_alone(store: Letters) {
    store.refuse(vec![count(1, "a")]).await;
    let letters = store.all().await;
    store.refuse_event(publication(1, &event(1))).await;
    assert_eq!(store.all().await, letters);
    store.letters.note(ada(), client(1), vec![Note::Published(Seq(1))], START).await.unwrap();
    assert_eq!(store.all().await, letters);
    assert_eq!(store.change(ClientChange::Retry(letters[0].id)).await, ClientFate::Applied);
}

pub(crate) async fn letters_of_a_client_are_capped_and_the_oldest_go_first(store: Letters) {
    let most = MAX_CLIENT_LETTERS as u64;
    let other = batch(&narrow(), client(2), vec![count(1, "theirs/1")]);
    store.documents.commit(other).await.unwrap();
    for seq in 1..=most + 2 {
        store.refuse(vec![count(seq, "theirs/1")]).await;
    }
    let dead = store.of(operator()).await.unwrap();
    assert_eq!((dead.letters.len() as u64, dead.dropped), (most + 1, 2));
    assert_eq!((dead.letters[0].client, dead.letters[1].seq), (client(2), Seq(3)));
}

pub(crate) async fn what_clients_were_refused_is_for_those_who_administer_it(store: Letters) {
    store.refuse(vec![count(1, "theirs/1"), count(2, "other/1")]).await;
    store.refuse_event(publication(3, &event(1))).await;
    let seqs = async |claim| -> Vec<u64> {
        let dead = store.of(granted("eve", claim)).await.unwrap();
        dead.letters.iter().map(|letter| letter.seq.0).collect()
    };
    assert_eq!(seqs(json!([{ "collection": "cards", "prefix": "theirs/", "may": "admin" }])).await, [1]);
    assert_eq!(seqs(json!([{ "collection": "*", "may": "admin" }])).await, [1, 2]);
    assert_eq!(seqs(json!([{ "topic": "t", "may": "admin" }])).await, [3]);
    let everything = granted("eve", json!([{ "collection": "*" }, { "topic": "*" }]));
    assert!(matches!(store.of(everything).await, Err(LogError::Forbidden)), "it has to be said");
    assert!(store.of(scope("other", "olga")).await.unwrap().letters.is_empty());
    // What one does not administer is not there; and what one may not write stays where it is.
    let id = store.all().await[0].id;
    let eve = granted("eve", json!([{ "topic": "t", "may": "admin" }]));
    for stranger in [eve, scope("other", "olga")] {
        let shown = store.letters.client_letters(stranger.clone(), Which::One(id), START).await;
        assert!(matches!(shown, Err(LogError::NoSuchLetter)), "{shown:?}");
        for change in [ClientChange::Retry(id), ClientChange::Discard(vec![id])] {
            let fates = store.letters.change_client_letters(stranger.clone(), change, START).await.unwrap();
            assert_eq!(fates, [(id, ClientFate::Gone)]);
        }
    }
    let admin = granted("eve", json!([{ "collection": "*", "may": "admin" }]));
    let answer = store.letters.change_client_letters(admin, ClientChange::Retry(id), START).await;
    assert!(matches!(answer, Err(LogError::Forbidden)), "{answer:?}");
    assert_eq!(store.all().await.len(), 3);
}

pub(crate) async fn of_two_copies_that_hold_an_event_each_the_one_is_told_whose_was_published(
    store: Letters,
) {
    let of = |id: &str| event(1).replace(r#""id":"1""#, &format!(r#""id":"{id}""#));
    let elsewhere = |id| Publication { topic: TopicName::new("u").unwrap(), ..publication(1, &of(id)) };
    store.refuse_event(publication(1, &of("one"))).await;
    store.refuse_event(elsewhere("other")).await;
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    let place = Place::Topic(TopicName::new("u").unwrap());
    assert_eq!(
        (&letter.place, store.one(letter.id).await.body),
        (&place, of("other")),
        "where that was to go"
    );
    store.change(ClientChange::Edit(letter.id, of("another"))).await;
    store.refuse_event(elsewhere("other")).await;
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    let position = Position { epoch: LogEpoch(7), offset: 3 };
    assert_eq!(store.change(ClientChange::Settle(letter.id, Ok(position))).await, ClientFate::Applied);
    // Whichever of them comes, it is told what that is about.
    let [told] = &store.back(client(1), &[1]).await[..] else { panic!("one judgement") };
    assert_eq!(told.event, Some("/a other".to_owned()));

    // A number of an operation is not that of an event, be it the same.
    let refused = store.refuse(vec![count(2, "theirs/1")]).await;
    store.refuse_event(publication(2, &of("one"))).await;
    let [letter] = &store.all().await[..] else { panic!("one letter") };
    assert!(matches!(letter.place, Place::Document(_)), "{:?}", letter.place);
    assert_eq!(store.refuse(vec![count(2, "theirs/1")]).await, refused);
}
