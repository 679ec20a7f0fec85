//! What is published: CloudEvents 1.0, in their JSON format.

use super::{
    ids::{Seq, TopicName},
    json::Json,
};
use crate::{
    clock::Millis,
    wire::{Bad, Object, Reader, record, write_number},
};

/// Bytes of an attribute that is text.
pub const MAX_ATTRIBUTE: usize = 1_024;
/// Members that an event may have.
pub const MAX_ATTRIBUTES: usize = 64;
/// The last millisecond that a time of RFC 3339 can name.
const END_OF_TIME: u64 = 253_402_300_799_999;

/// One event to be appended to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its place among all that its client ever made.
    pub seq: Seq,
    /// Where it goes. The publications of a client to one topic keep their order.
    pub topic: TopicName,
    /// The event, which [`EventName::of`] accepts.
    pub event: Json,
}

record!(Publication {
    seq: "seq";
    topic: "topic";
    event: "event";
});

/// What tells an event from every other of its topic, and for ever: the same event again has no second effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName {
    /// Who it comes from: a URI reference.
    pub source: String,
    /// Its name among the events of that source.
    pub id: String,
}

impl EventName {
    /// The name of an event, if the text is a CloudEvent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(event: &str) -> Result<Self, Bad> {
        let Attributes { version, id, source, kind, .. } = attributes(event)?;
        let missing = |what| Reader::new(event).bad(what);
        if !(version && kind) {
            return Err(missing("specversion and type are required"));
        }
        let named = source.zip(id).ok_or_else(|| missing("id and source are required"))?;
        Ok(Self { source: named.0, id: named.1 })
    }

    /// The name of an event that is one, which was seen when it was published: all that [`Self::of`] looks at besides would
    /// be a part of what browsers download.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn of_checked(event: &str) -> Result<Self, Bad> {
        let mut name = Self { source: String::new(), id: String::new() };
        Reader::new(event).object(&mut |reader, member| {
            match member {
                "source" => name.source = reader.string()?.into_owned(),
                "id" => name.id = reader.string()?.into_owned(),
                _ => drop(reader.skip()?),
            }
            Ok(())
        })?;
        Ok(name)
    }

    /// The name as one text, as a [`Judgement`](super::Judgement) has it: the source, a space, and the id. A URI reference
    /// has no spaces.
    pub fn text(&self) -> String {
        [&self.source, " ", &self.id].concat()
    }
}

/// An event as its application describes it, made whole: what it does not say of version, id, source and time is taken
/// from here. Only the type has to be there.
///
/// # Errors
/// What is wrong with it.
pub fn complete_event(described: &Json, id: &str, source: &str, time: Millis) -> Result<Json, Bad> {
    let text = described.as_str();
    let found = attributes(text)?;
    let mut whole = String::with_capacity(text.len() + 160);
    let mut object = Object::new(&mut whole);
    if !found.version {
        object.field("specversion", &"1.0");
    }
    if found.id.is_none() {
        object.field("id", &id);
    }
    if found.source.is_none() {
        object.field("source", &source);
    }
    if !found.time {
        object.field("time", &timestamp(time));
    }
    Reader::new(text).object(&mut |reader, name| {
        let value = reader.skip()?;
        // An attribute that is null is none.
        if value != "null" || name == "data" {
            object.field(name, &Json::of(value.to_owned()));
        }
        Ok(())
    })?;
    object.end();
    EventName::of(&whole)?;
    Ok(Json::of(whole))
}

/// What an object has of the attributes that matter here.
#[derive(Default)]
struct Attributes {
    version: bool,
    id: Option<String>,
    source: Option<String>,
    kind: bool,
    time: bool,
}

/// Checks each member of a CloudEvent.
fn attributes(event: &str) -> Result<Attributes, Bad> {
    let (mut reader, mut found, mut names, mut data) =
        (Reader::new(event), Attributes::default(), Vec::new(), 0);
    reader.object(&mut |reader, name| {
        if names.iter().any(|known| known == name) {
            return Err(reader.bad("a name comes twice"));
        }
        if names.len() == MAX_ATTRIBUTES {
            return Err(reader.bad("more attributes than an event may have"));
        }
        names.push(name.to_owned());
        if name == "data" {
            data += 1;
            return reader.skip().map(drop);
        }
        if reader.null() {
            return Ok(());
        }
        match name {
            "specversion" => found.version = one_of(reader, |text| text == "1.0")?.is_some(),
            "id" => found.id = one_of(reader, |_| true)?,
            "source" => found.source = one_of(reader, |_| true)?,
            "type" => found.kind = one_of(reader, |_| true)?.is_some(),
            "time" => found.time = one_of(reader, is_timestamp)?.is_some(),
            "subject" | "datacontenttype" | "dataschema" => drop(one_of(reader, |_| true)?),
            "data_base64" => {
                data += 1;
                reader.string()?;
            }
            _ => extension(reader, name)?,
        }
        Ok(())
    })?;
    reader.end()?;
    if data > 1 { Err(reader.bad("data and data_base64 exclude each other")) } else { Ok(found) }
}

/// Reads an attribute that is text.
fn one_of(reader: &mut Reader<'_>, check: impl Fn(&str) -> bool) -> Result<Option<String>, Bad> {
    let text = reader.string()?;
    let good = !text.is_empty() && text.len() <= MAX_ATTRIBUTE && check(&text);
    if good {
        Ok(Some(text.into_owned()))
    } else {
        Err(reader.bad("not a value that this attribute can have"))
    }
}

/// Reads an attribute that CloudEvents does not know.
fn extension(reader: &mut Reader<'_>, name: &str) -> Result<(), Bad> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(1..=20).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(reader.bad("an attribute's name has 1 to 20 bytes of a-z and 0-9"));
    }
    match reader.peek() {
        Some(b'"') => drop(one_of(reader, |_| true)?),
        Some(b't' | b'f') => drop(reader.boolean()?),
        _ if i32::try_from(reader.signed()?).is_ok() => {}
        _ => return Err(reader.bad("an attribute's whole number has 32 bits")),
    }
    Ok(())
}

/// Whether a text is a time of RFC 3339.
fn is_timestamp(text: &str) -> bool {
    let shape = |text: &[u8], form: &[u8]| {
        let fits = |(byte, form): (&u8, &u8)| {
            if *form == b'0' { byte.is_ascii_digit() } else { byte.eq_ignore_ascii_case(form) }
        };
        text.len() == form.len() && text.iter().zip(form).all(fits)
    };
    let within = |at: usize, least: &str, most: &str| {
        text.get(at..at + 2).is_some_and(|two| least <= two && two <= most)
    };
    let Some((moment, rest)) = text.as_bytes().split_at_checked(19) else { return false };
    let fraction = rest
        .strip_prefix(b".")
        .map_or(0, |digits| 1 + digits.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let zone = &rest[fraction..];
    let offset = [&b"+00:00"[..], b"-00:00"].iter().any(|form| shape(zone, form));
    let offset = offset && within(20 + fraction, "00", "23") && within(23 + fraction, "00", "59");
    fraction != 1
        && shape(moment, b"0000-00-00T00:00:00")
        && within(5, "01", "12")
        && within(8, "01", "31")
        && within(11, "00", "23")
        && within(14, "00", "59")
        && within(17, "00", "60")
        && (offset || shape(zone, b"Z"))
}

/// A Unix time as RFC 3339 writes it.
fn timestamp(at: Millis) -> String {
    let at = at.0.min(END_OF_TIME);
    let (days, millis) = (at / 86_400_000, at % 86_400_000);
    // Howard Hinnant's civil_from_days: years begin with March, so that the leap day is their last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    let parts = [
        (year, 1_000, '-'),
        (month, 10, '-'),
        (day, 10, 'T'),
        (millis / 3_600_000, 10, ':'),
        (millis / 60_000 % 60, 10, ':'),
        (millis / 1_000 % 60, 10, '.'),
        (millis % 1_000, 100, 'Z'),
    ];
    let mut text = String::with_capacity(24);
    for (number, mut least, behind) in parts {
        while number < least && least > 1 {
            text.push('0');
            least /= 10;
        }
        write_number(number, &mut text);
        text.push(behind);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(described: &str) -> Result<String, String> {
        let described = Json::parse(described).unwrap();
        let whole = complete_event(&described, "7", "urn:me", Millis(1_790_000_000_123));
        whole.map(|event| event.as_str().to_owned()).map_err(|bad| bad.to_string())
    }

    #[test]
    fn what_an_application_does_not_say_is_added_and_what_it_says_stays() {
        assert_eq!(
            complete(r#"{"type":"placed","data":{"n":1}}"#).unwrap(),
            r#"{"specversion":"1.0","id":"7","source":"urn:me","time":"2026-09-21T14:13:20.123Z","type":"placed","data":{"n":1}}"#
        );
        let whole = r#"{"id":"x","source":"/a","specversion":"1.0","type":"t","time":"2026-01-01T00:00:00+01:00","tries":2}"#;
        assert_eq!(complete(whole).unwrap(), whole);
        let nulls = complete(r#"{"id":null,"type":"t","subject":null,"data":null}"#).unwrap();
        assert!(
            nulls.contains(r#""id":"7""#) && !nulls.contains("subject") && nulls.contains(r#""data":null"#)
        );
        assert_eq!(EventName::of(&nulls).unwrap(), EventName { source: "urn:me".into(), id: "7".into() });
    }

    #[test]
    fn what_is_no_cloud_event_is_refused() {
        for bad in [
            "1",
            "{}",
            r#"{"type":""}"#,
            r#"{"type":1}"#,
            r#"{"type":"t","specversion":"0.3"}"#,
            r#"{"type":"t","time":"yesterday"}"#,
            r#"{"type":"t","id":""}"#,
            r#"{"type":"t","type":"t"}"#,
            r#"{"type":"t","Upper":"x"}"#,
            r#"{"type":"t","nested":{}}"#,
            r#"{"type":"t","part":1.5}"#,
            r#"{"type":"t","big":3000000000}"#,
            r#"{"type":"t","data":1,"data_base64":"AA=="}"#,
            r#"{"type":"t","data_base64":"AA==","data":1}"#,
            r#"{"type":"t","data_base64":1}"#,
        ] {
            assert!(complete(bad).is_err(), "{bad}");
        }
        let many: String = (0..MAX_ATTRIBUTES).map(|n| format!(r#","a{n}":1"#)).collect();
        assert!(complete(&format!(r#"{{"type":"t"{many}}}"#)).is_err());
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(MAX_ATTRIBUTE + 1));
        assert!(complete(&long).is_err());
        for incomplete in
            [r#"{"specversion":"1.0","type":"t","id":"1"}"#, r#"{"type":"t","id":"1","source":"/"}"#]
        {
            assert!(EventName::of(incomplete).is_err(), "{incomplete}");
        }
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        for good in ["2026-09-21T13:33:20Z", "2024-02-29t23:59:60.123456z", "1970-01-01T00:00:00.5-23:59"] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2026-09-21",
            "2026-09-21 13:33:20Z",
            "2026-13-21T13:33:20Z",
            "2026-09-32T13:33:20Z",
            "2026-09-21T24:33:20Z",
            "2026-09-21T13:33:20",
            "2026-09-21T13:33:20.Z",
            "2026-09-21T13:33:20+1:00",
            "2026-09-21T13:33:20+24:00",
            "2026-09-21T13:33:20Zx",
            "2026-09-21T13:33:2äZ",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(timestamp(Millis(at)), text);
            assert!(is_timestamp(text));
        }
    }
}
