//! What a group loses, and how it is told.

use super::*;
use crate::storage::events::{Lost, Retention, Unread};

/// The topic `t`, of which two events are kept, and the group `g` of it.
async fn keeping_two(groups: &Groups, rules: Rules) {
    let retention = Retention { events: Some(2), ..Retention::default() };
    groups.topic("t", NewTopic { retention, ..NewTopic::default() }).await;
    groups.add("t", &[plain(1)], START).await;
    groups.make("g", "t", Start::Earliest, rules).await.unwrap();
}

fn told(claimed: &Claimed) -> Option<(u64, u64)> {
    claimed.lost.map(|Lost { events, through }| (events, through.offset))
}

pub(crate) async fn events_that_retention_took_are_told(groups: Groups) {
    keeping_two(&groups, rules()).await;
    groups.add("t", &[plain(2), plain(3), plain(4), plain(5)], START).await;
    let claimed = groups.claim(9, START).await;
    assert_eq!((numbers(&claimed), told(&claimed)), (vec![4, 5], Some((3, 3))));
    groups.settle(&claimed, Verdict::Ack, START).await.unwrap();
    groups.add("t", &[plain(6)], START).await;
    let claimed = groups.claim(9, START).await;
    assert_eq!((numbers(&claimed), told(&claimed)), (vec![6], None), "it is told once");
    assert_eq!(groups.state().await.lost, 3);
    // Of one that waited for another attempt as well.
    groups.settle(&claimed, nack(5), START).await.unwrap();
    groups.add("t", &[plain(7), plain(8)], START).await;
    let claimed = groups.claim(9, later(5)).await;
    assert_eq!((numbers(&claimed), told(&claimed)), (vec![7, 8], Some((1, 6))));
}

pub(crate) async fn a_loss_is_told_until_a_worker_has_answered(groups: Groups) {
    keeping_two(&groups, rules()).await;
    groups.add("t", &[plain(2), plain(3)], START).await;
    let first = groups.claim(9, START).await;
    assert_eq!(told(&first), Some((1, 1)));
    // Nothing is to be done, and yet there is a lease: to hear that it was understood.
    let second = groups.claim(9, START).await;
    assert_eq!((second.events.len(), told(&second)), (0, Some((1, 1))));
    assert_eq!(groups.settle(&second, Verdict::Ack, START).await.unwrap().events, 0);
    let third = groups.claim(9, START).await;
    assert!(third.lease.is_none() && third.lost.is_none());
}

pub(crate) async fn what_is_out_at_a_worker_is_not_lost(groups: Groups) {
    keeping_two(&groups, rules()).await;
    let claimed = groups.claim(1, START).await;
    groups.add("t", &[plain(2), plain(3)], START).await;
    let other = groups.claim(9, START).await;
    assert_eq!((numbers(&other), told(&other)), (vec![2, 3], None));
    assert_eq!(groups.settle(&claimed, Verdict::Ack, START).await.unwrap().events, 1);
    assert_eq!(groups.state().await.lost, 0);
    groups.settle(&other, nack(0), START).await.unwrap();
    let again = groups.claim(1, START).await;
    groups.add("t", &[plain(4), plain(5)], START).await;
    // It comes back, and is not kept any more.
    groups.settle(&again, nack(0), START).await.unwrap();
    let last = groups.claim(9, START).await;
    assert_eq!((numbers(&last), told(&last)), (vec![4, 5], Some((2, 3))));
}

pub(crate) async fn a_group_that_leaves_too_much_unread_loses_the_oldest(groups: Groups) {
    groups.topic("t", NewTopic::default()).await;
    groups.add("t", &[plain(1), plain(2)], START).await;
    groups.add("t", &[plain(3)], later(10_000)).await;
    let unread = |unread| Rules { unread, ..rules() };
    let few = unread(Unread { events: Some(2), ..Unread::default() });
    let young = unread(Unread { age_seconds: Some(5), ..Unread::default() });
    for (name, rules, lost, left) in [("few", few, 1, vec![2, 3]), ("young", young, 2, vec![3])] {
        groups.make(name, "t", Start::Earliest, rules).await.unwrap();
        let claimed = groups.claim_of(name, 9, later(12_000)).await.unwrap();
        assert_eq!((numbers(&claimed), claimed.lost.map(|lost| lost.events)), (left, Some(lost)), "{name}");
    }
    // The log has them still, and so have other groups.
    groups.make("all", "t", Start::Earliest, rules()).await.unwrap();
    let claimed = groups.claim_of("all", 9, later(12_000)).await.unwrap();
    assert_eq!((numbers(&claimed), claimed.lost), (vec![1, 2, 3], None));
}
