//! Servers by themselves, with a wire of the test's own between them; and over Redis.

use std::collections::BTreeSet;

use futures::FutureExt;
use sdk_core::protocol::{Enter, Json, Recipient, Send, Sent, ServerFrame, decode};

use super::*;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    fixtures::{START, client, scope},
    rooms::{Call, Mail, Post, Presence},
    storage::redis::{
        Options,
        tests::server::{Own, cluster, single},
    },
};

/// A server whose messages are carried by hand.
struct Server {
    circle: Circle,
    orders: mpsc::Receiver<Order>,
    listens: BTreeSet<String>,
    sent: Vec<Act>,
}

impl Server {
    fn new(number: u64, since: u64) -> Self {
        let (orders, queue) = mpsc::channel(QUEUE);
        let outbox = Outbox { orders, dropped: Arc::default() };
        let me = ServerId::of(number);
        let rooms = Arc::new(Rooms::among(me, Arc::new(outbox)));
        let circle = Circle::new(me, START.plus(since), rooms);
        let mut server = Self { circle, orders: queue, listens: BTreeSet::new(), sent: Vec::new() };
        let acts = server.circle.joined();
        server.act(acts);
        server
    }

    fn act(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Listen(channel, word) => {
                    self.sent.extend(word.map(|word| Act::Send(channel.clone(), word)));
                    self.listens.insert(channel);
                }
                Act::Ignore(channel) => drop(self.listens.remove(&channel)),
                send => self.sent.push(send),
            }
        }
    }

    fn turn(&mut self, now: Millis) {
        self.circle.rooms.tell(now);
        while let Ok(order) = self.orders.try_recv() {
            let acts = self.circle.order(order, now);
            self.act(acts);
        }
        let (acts, _) = self.circle.turn(now);
        self.act(acts);
    }
}

/// Servers, and which of them cannot hear one another.
struct Wire {
    servers: Vec<Server>,
    cut: bool,
    now: Millis,
}

impl Wire {
    fn of(count: u64) -> Self {
        let servers = (0..count).map(|number| Server::new(number * 1_000 + 1, number)).collect();
        Self { servers, cut: false, now: Millis(10_000) }
    }

    /// So much time goes by.
    fn pass(&mut self, millis: u64) {
        let end = self.now.plus(millis);
        while self.now < end {
            self.now = self.now.plus(50);
            self.servers.iter_mut().for_each(|server| server.turn(self.now));
            let count = self.servers.len();
            for from in 0..count {
                for act in std::mem::take(&mut self.servers[from].sent) {
                    let (Act::Send(channel, text) | Act::Write(channel, text, _)) = &act else { continue };
                    let mut heard = 0;
                    for to in 0..count {
                        if (self.cut && to != from) || !self.servers[to].listens.contains(channel) {
                            continue;
                        }
                        heard += 1;
                        let acts = self.servers[to].circle.hear(text, self.now);
                        self.servers[to].act(acts);
                    }
                    if let Act::Write(_, _, number) = &act {
                        self.servers[from].circle.reached(*number, heard);
                    }
                }
            }
        }
    }

    fn somebody(&self, server: usize, number: u8) -> Presence {
        self.servers[server].circle.rooms.attach(scope("acme", &format!("user-{number}")), client(number))
    }
}

fn enter(presence: &mut Presence, state: &str) {
    let state = Some(Json::parse(state).unwrap());
    presence.call(Call::Enter(Enter { room: "board".into(), state }));
}

/// The users that a session sees, from all that it was told, and what else it was told.
#[derive(Default)]
struct View {
    members: BTreeMap<u64, String>,
    other: Vec<ServerFrame>,
}

impl View {
    fn take(&mut self, presence: &Presence) -> Vec<String> {
        while let Some(mail) = presence.mailbox().next().now_or_never() {
            let Mail::Post(Post { frame, .. }) = mail else { continue };
            match decode(&frame).unwrap() {
                ServerFrame::Room(news) => {
                    if news.full {
                        self.members.clear();
                    }
                    news.left.iter().for_each(|id| drop(self.members.remove(id)));
                    self.members.extend(news.members.into_iter().map(|member| (member.id, member.user)));
                }
                other => self.other.push(other),
            }
        }
        let mut users: Vec<String> = self.members.values().cloned().collect();
        users.sort();
        users
    }
}

#[test]
fn three_servers_show_the_same_people_and_forget_those_of_one_that_is_gone() {
    let mut wire = Wire::of(3);
    let mut people: Vec<Presence> = (0..3u8).map(|n| wire.somebody(n.into(), n + 1)).collect();
    people.iter_mut().for_each(|presence| enter(presence, "1"));
    let mut views: Vec<View> = people.iter().map(|_| View::default()).collect();
    wire.pass(1_000);
    for (view, presence) in views.iter_mut().zip(&people) {
        assert_eq!(view.take(presence), ["user-1", "user-2", "user-3"]);
    }
    // It dies, and says nothing.
    wire.servers.truncate(2);
    let dead = people.pop();
    wire.pass(SILENCE - BEAT - 100);
    assert_eq!(views[0].take(&people[0]).len(), 3);
    wire.pass(BEAT + 200);
    assert_eq!(views[0].take(&people[0]), ["user-1", "user-2"]);
    drop(dead);
    // This one says so.
    let leave = wire.servers[1].circle.leave();
    wire.servers[1].sent.push(leave);
    wire.pass(100);
    assert_eq!(views[0].take(&people[0]), ["user-1"]);
}

#[test]
fn after_a_gap_everybody_is_there_again_on_both_sides() {
    let mut wire = Wire::of(2);
    let (mut ada, mut bob) = (wire.somebody(0, 1), wire.somebody(1, 2));
    let (mut of_ada, mut of_bob) = (View::default(), View::default());
    enter(&mut ada, "1");
    enter(&mut bob, "1");
    wire.pass(500);
    wire.cut = true;
    wire.pass(SILENCE + 2 * BEAT);
    assert_eq!((of_ada.take(&ada), of_bob.take(&bob)), (vec!["user-1".into()], vec!["user-2".into()]));
    wire.cut = false;
    wire.pass(2 * BEAT);
    assert_eq!(of_ada.take(&ada), ["user-1", "user-2"]);
    assert_eq!(of_bob.take(&bob), ["user-1", "user-2"]);
}

#[test]
fn what_did_not_fit_in_the_queue_is_told_whole_later() {
    let mut wire = Wire::of(2);
    let (mut ada, mut bob) = (wire.somebody(0, 1), wire.somebody(1, 2));
    enter(&mut bob, "1");
    wire.pass(500);
    enter(&mut ada, "1");
    // All that the rooms of the one wanted is lost.
    while wire.servers[0].orders.try_recv().is_ok() {}
    wire.servers[0].circle.rooms.tell(wire.now.plus(1_000));
    while wire.servers[0].orders.try_recv().is_ok() {}
    wire.pass(500);
    let (mut of_ada, mut of_bob) = (View::default(), View::default());
    assert_eq!((of_ada.take(&ada).len(), of_bob.take(&bob).len()), (1, 1));
    let acts = wire.servers[0].circle.dropped();
    wire.servers[0].act(acts);
    wire.pass(2_000);
    assert_eq!((of_ada.take(&ada).len(), of_bob.take(&bob).len()), (2, 2));
}

#[test]
fn a_person_is_written_to_at_every_server_and_all_sessions_are_counted() {
    let mut wire = Wire::of(3);
    let mut ada = wire.somebody(0, 1);
    let bobs: Vec<Presence> = [0, 1, 2, 2].map(|server| wire.somebody(server, 2)).into();
    wire.pass(500);
    let to = |user: &str| {
        Call::Send(Send { id: 7, to: Recipient::User(user.into()), data: Json::parse("1").unwrap() })
    };
    ada.call(to("user-2"));
    wire.pass(50);
    let sent = |view: &View| match view.other.last() {
        Some(ServerFrame::Sent(Sent { count, .. })) => Some(*count),
        _ => None,
    };
    let mut of_ada = View::default();
    of_ada.take(&ada);
    assert_eq!(sent(&of_ada), Some(4));
    for bob in &bobs {
        let mut view = View::default();
        view.take(bob);
        assert!(matches!(&view.other[..], [ServerFrame::Message(message)] if message.from == "user-1"));
    }
    // Servers that say nothing are not waited for without end.
    wire.cut = true;
    ada.call(to("user-2"));
    wire.pass(PATIENCE + 100);
    of_ada.take(&ada);
    assert_eq!(sent(&of_ada), Some(1));
    assert!(wire.servers[0].circle.writes.is_empty());
}

/// A server over Redis.
struct Running {
    rooms: Arc<Rooms>,
    stop: CancellationToken,
}

impl Running {
    fn start(options: &Options) -> Self {
        let (shared, stop) = (Shared::new(Redis::new(options).unwrap()), CancellationToken::new());
        let (rooms, turning, stopping) = (shared.rooms.clone(), shared.rooms.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                never = turning.run() => match never {},
                () = shared.run(stopping) => {}
            }
        });
        Self { rooms, stop }
    }

    fn somebody(&self, number: u8) -> Presence {
        self.rooms.attach(scope("acme", &format!("user-{number}")), client(number))
    }
}

/// Waits until a session sees so many.
async fn sees(view: &mut View, presence: &Presence, count: usize) {
    let seen = async {
        while view.take(presence).len() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), seen).await.unwrap_or_else(|_| panic!("{count} are not seen"));
}

async fn share_over(options: &Options) {
    let servers = [Running::start(options), Running::start(options), Running::start(options)];
    let mut people: Vec<Presence> =
        servers.iter().zip(1..).map(|(server, number)| server.somebody(number)).collect();
    people.iter_mut().for_each(|presence| enter(presence, "1"));
    let mut views: Vec<View> = people.iter().map(|_| View::default()).collect();
    for (view, presence) in views.iter_mut().zip(&people) {
        sees(view, presence, 3).await;
    }
    people[0].call(Call::Send(Send {
        id: 1,
        to: Recipient::User("user-3".into()),
        data: Json::parse("1").unwrap(),
    }));
    let answered = async {
        while views[0].other.is_empty() {
            views[0].take(&people[0]);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), answered).await.unwrap();
    assert!(matches!(&views[0].other[..], [ServerFrame::Sent(Sent { count: 1, reason: None, .. })]));
    servers[2].stop.cancel();
    sees(&mut views[0], &people[0], 2).await;
    drop(people);
    servers.iter().for_each(|server| server.stop.cancel());
}

#[tokio::test]
async fn servers_share_rooms_over_one_redis() {
    share_over(&single()).await;
}

#[tokio::test]
async fn servers_share_rooms_over_a_cluster() {
    share_over(&cluster()).await;
}

#[tokio::test]
async fn without_redis_each_has_its_own_and_with_it_everybody_is_there_again() {
    let mut redis = Own::start(&[]);
    let options = redis.options();
    let servers = [Running::start(&options), Running::start(&options)];
    let (mut ada, mut bob) = (servers[0].somebody(1), servers[1].somebody(2));
    let (mut of_ada, mut of_bob) = (View::default(), View::default());
    enter(&mut ada, "1");
    enter(&mut bob, "1");
    sees(&mut of_ada, &ada, 2).await;
    sees(&mut of_bob, &bob, 2).await;
    redis.kill();
    sees(&mut of_ada, &ada, 1).await;
    sees(&mut of_bob, &bob, 1).await;
    // What happens meanwhile is not lost, either.
    let mut eve = servers[1].somebody(3);
    enter(&mut eve, "1");
    redis.again();
    sees(&mut of_ada, &ada, 3).await;
    sees(&mut of_bob, &bob, 3).await;
}
