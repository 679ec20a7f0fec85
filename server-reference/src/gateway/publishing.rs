//! Publications on their way into the log, and its answers on their way back. What is refused for good is kept before its
//! client hears of it.

use sdk_core::{
    clock::Millis,
    protocol::{
        ClientId, ErrorCode, Json, Judgement, Limits, Outcome, Publication, Rejection, Retry, Seq, TopicName,
        TopicPosition,
    },
};

use crate::{
    storage::{
        events::{CloudEvent, LogError, NoCloudEvent, Publications, Publish, Published},
        refusals::{Note, Refusals},
    },
    streams,
    tenant::TenantScope,
};

/// What a client wants to publish.
#[derive(Debug)]
pub struct Publishing {
    /// On whose behalf.
    pub scope: TenantScope,
    /// Which installation.
    pub client: ClientId,
    /// The events.
    pub publications: Vec<Publication>,
    /// Whether something was kept of the client that may have been refused before.
    pub has_letters: bool,
    /// Unix time.
    pub now: Millis,
}

/// Publishes, and resolves once all that was published or refused is durable. One judgement for each publication, in their
/// order; none for those behind a refused one of their topic.
///
/// # Errors
/// Nothing was acknowledged; the same again has one effect.
pub(crate) async fn publish(
    events: &dyn Publications,
    refusals: &dyn Refusals,
    limits: &Limits,
    publishing: Publishing,
) -> Result<Vec<Option<Judgement>>, LogError> {
    let Publishing { scope, client, publications, has_letters, now } = publishing;
    let (asked, lists) = ask(&publications, limits);
    let answers = events.publish(scope.clone(), lists, now).await?;
    let judgements = asked.judge(answers);
    let note =
        |(publication, judgement): (Publication, &Option<Judgement>)| match &judgement.as_ref()?.outcome {
            Outcome::Rejected(why) if why.code.retry() == Retry::Never => {
                Some(Note::Refused(publication, why.clone()))
            }
            Outcome::Published { .. } if has_letters => Some(Note::Published(publication.seq)),
            _ => None,
        };
    let notes: Vec<Note> = publications.into_iter().zip(&judgements).filter_map(note).collect();
    if !notes.is_empty() {
        refusals.note(scope, client, notes, now).await?;
    }
    Ok(judgements)
}

/// Publications that the log is asked to take, with those that need no asking: they were refused, or are behind one that
/// was.
struct Asked(Vec<(Seq, TopicName, Status)>);

enum Status {
    Asked,
    Refused(Rejection),
    Behind,
}

/// Sorts out what is no event. What comes behind one of its topic is not given to the log.
fn ask(publications: &[Publication], limits: &Limits) -> (Asked, Vec<Publish>) {
    let (mut asked, mut lists, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for Publication { seq, topic, event } in publications {
        let status = if refused.contains(topic) {
            Status::Behind
        } else {
            match check(event, limits) {
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
        asked.push((*seq, topic.clone(), status));
    }
    (Asked(asked), lists)
}

impl Asked {
    /// One judgement for each publication, in their order; none for those behind a refused one of their topic: nobody has
    /// looked at them.
    fn judge(self, answers: Vec<Option<Published>>) -> Vec<Option<Judgement>> {
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
            Some(Judgement { seq, outcome, position: None, by: None, event: None })
        };
        self.0.into_iter().map(judge).collect()
    }
}

fn check(event: &Json, limits: &Limits) -> Result<CloudEvent, Rejection> {
    let (bytes, most) = (event.as_str().len(), limits.operation_bytes);
    if bytes > most {
        let message = format!("the event has {bytes} bytes; {most} are allowed");
        return Err(Rejection { code: ErrorCode::EventTooLarge, message });
    }
    let no_event = |bad: NoCloudEvent| Rejection { code: ErrorCode::BadEvent, message: bad.to_string() };
    CloudEvent::of(event.clone()).map_err(no_event)
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
