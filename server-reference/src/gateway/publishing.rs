//! Publications on their way into the log, and its answers on their way back.

use sdk_core::protocol::{
    ErrorCode, Judgement, Limits, Outcome, Publication, Rejection, Seq, TopicName, TopicPosition,
};

use crate::{
    storage::events::{CloudEvent, NoCloudEvent, Publish, Published},
    streams,
};

/// Publications that the log is asked to take, with those that need no asking: they were refused, or are behind one that
/// was.
#[derive(Default)]
pub(crate) struct Asked(Vec<(Seq, TopicName, Status)>);

enum Status {
    Asked,
    Refused(Rejection),
    Behind,
}

/// Sorts out what is no event. What comes behind one of its topic is not given to the log.
pub(crate) fn ask(publications: Vec<Publication>, limits: &Limits) -> (Asked, Vec<Publish>) {
    let (mut asked, mut lists, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for Publication { seq, topic, event } in publications {
        let status = if refused.contains(&topic) {
            Status::Behind
        } else {
            match check(event.as_str(), limits) {
                Ok(event) => {
                    lists.push(Publish { topic: topic.clone(), events: vec![event] });
                    Status::Asked
                }
                Err(refusal) => {
                    refused.push(topic.clone());
                    Status::Refused(refusal)
                }
            }
        };
        asked.push((seq, topic, status));
    }
    (Asked(asked), lists)
}

impl Asked {
    /// One judgement for each publication, in their order; none for those behind a refused one of their topic: nobody has
    /// looked at them.
    pub(crate) fn judge(self, answers: Vec<Option<Published>>) -> Vec<Option<Judgement>> {
        let (mut answers, mut refused) = (answers.into_iter(), Vec::new());
        let judge = |(seq, topic, status): (Seq, TopicName, Status)| {
            let outcome = match status {
                Status::Asked => answers.next().flatten().and_then(outcome)?,
                Status::Refused(refusal) => Outcome::Rejected(refusal),
                Status::Behind => return None,
            };
            if refused.contains(&topic) {
                return None;
            }
            if matches!(outcome, Outcome::Rejected(_)) {
                refused.push(topic);
            }
            Some(Judgement { seq, outcome, position: None, by: None })
        };
        self.0.into_iter().map(judge).collect()
    }
}

fn check(event: &str, limits: &Limits) -> Result<CloudEvent, Rejection> {
    if event.len() > limits.operation_bytes {
        let message = format!("the event has {} bytes; {} are allowed", event.len(), limits.operation_bytes);
        return Err(Rejection { code: ErrorCode::EventTooLarge, message });
    }
    let no_event = |bad: NoCloudEvent| Rejection { code: ErrorCode::BadEvent, message: bad.to_string() };
    CloudEvent::new(event.to_owned().into()).map_err(no_event)
}

fn outcome(answer: Published) -> Option<Outcome> {
    match answer {
        Ok(positions) => {
            positions.first().map(|position: &TopicPosition| Outcome::Published { position: *position })
        }
        Err(error) => {
            let (code, message) = streams::refusal(error);
            Some(Outcome::Rejected(Rejection { code: ErrorCode::of(code), message }))
        }
    }
}
