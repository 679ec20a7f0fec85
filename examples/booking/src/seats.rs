//! What the application adds to the server: seats, each of which is one person's.

use sdk_core::protocol::{Json, TopicName};
use serde::{Deserialize, Serialize};
use server_reference::transactions::handler::{
    Call, Emitted, Fault, Handler, Limit, Query, Reads, Records, Refusal, json,
};

/// `seat.book`: the seat is the caller's from now on, if it is nobody's.
pub(crate) struct Book;

/// `seat.holder`: whose it is.
pub(crate) struct Holder;

#[derive(Serialize, Deserialize)]
struct Seat {
    seat: String,
}

impl Handler for Book {
    fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        let Seat { seat } = call.read()?;
        let key = key(&seat)?;
        if records.read::<String>(&key)?.is_some() {
            return Err(Refusal::new("taken", format!("the seat {seat} is taken")).into());
        }
        records.write(&key, &call.subject)?;
        // In the commit of the booking; it is in its topic a moment later, once.
        let topic = TopicName::new("seats/booked").map_err(|_| Limit::Handler("no topic"))?;
        let data = json(&Seat { seat: seat.clone() })?;
        records.emit(topic, Emitted { kind: "seat.booked".to_owned(), subject: Some(seat.clone()), data })?;
        json(&Seat { seat })
    }
}

impl Query for Holder {
    fn run(&self, call: Call<'_>, records: &dyn Reads) -> Result<Json, Fault> {
        let Seat { seat } = call.read()?;
        json(&records.read::<String>(&key(&seat)?)?)
    }
}

fn key(seat: &str) -> Result<String, Refusal> {
    if (1..=4).contains(&seat.len()) && seat.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(format!("seat/{seat}"))
    } else {
        Err(Refusal::new("no_such_seat", "a seat is a row and a letter, such as 12A"))
    }
}
