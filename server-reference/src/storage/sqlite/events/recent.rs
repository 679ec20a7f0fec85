//! Topics as the last transaction that had them left them.
//!
//! Nobody else writes, so that what was written last is what is there, and the next append need not read it again.

use std::{collections::HashMap, sync::Arc};

use super::row::Topic;
use crate::storage::events::TopicName;

/// Topics that are remembered.
const MOST: usize = 1_024;

/// Rows of topics that have a name, as they are in the database. After a transaction that failed they are not.
#[derive(Default)]
pub(super) struct Recent(HashMap<(Arc<str>, TopicName), Topic>);

impl Recent {
    /// Takes a topic out, for a transaction that may change it.
    pub(super) fn take(&mut self, spot: &(Arc<str>, TopicName)) -> Option<Topic> {
        self.0.remove(spot)
    }

    /// Remembers a topic as it was written.
    pub(super) fn keep(&mut self, spot: (Arc<str>, TopicName), topic: Topic) {
        if self.0.len() >= MOST {
            // Those that are still in use are soon here again.
            self.0.clear();
        }
        self.0.insert(spot, topic);
    }

    /// Forgets all, of which something was written past them.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{
        super::{Caps, SqliteEvents, append::append, create::create},
        *,
    };
    use crate::{
        fixtures::{START, scope},
        storage::{
            StorageError,
            events::{Append, ContentType, LogError, NewTopic, Position},
        },
    };

    fn name() -> TopicName {
        TopicName::new("t").unwrap()
    }

    fn open(folder: &tempfile::TempDir) -> SqliteEvents {
        let path = folder.path().join("events.db");
        let mut log = SqliteEvents::open(&path, Caps::default(), Box::new(|| 7)).unwrap();
        let made = log.transaction(|group| {
            create(group, &scope("acme", "ada"), &name(), &NewTopic::default(), START).map(drop)
        });
        made.unwrap();
        log
    }

    fn one() -> Append {
        let events = vec![Bytes::from_static(b"x")];
        Append { content_type: Some(ContentType::octets()), events, ..Append::default() }
    }

    /// The end of the topic after one more event.
    fn write(log: &mut SqliteEvents) -> Position {
        let ada = scope("acme", "ada");
        let (appended, _) = log.transaction(|group| append(group, &ada, &name(), &one(), START)).unwrap();
        appended.tail
    }

    #[test]
    fn what_a_transaction_changed_that_failed_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        assert_eq!(write(&mut log).offset, 1);
        let failed = log.transaction(|group| {
            append(group, &scope("acme", "ada"), &name(), &one(), START)?;
            Err::<(), LogError>(StorageError::Unavailable("the disk is gone".into()).into())
        });
        assert!(failed.is_err());
        assert_eq!(write(&mut log).offset, 2);
    }

    #[test]
    fn another_history_is_known_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        let before = write(&mut log);
        log.renew_epochs(START).unwrap();
        let after = write(&mut log);
        assert!(after.epoch > before.epoch);
        assert_eq!(after.offset, 2);
    }

    #[test]
    fn more_topics_than_are_remembered_are_as_good() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        let ada = scope("acme", "ada");
        let names = || (0..2 * MOST).map(|n| TopicName::new(&format!("t/{n}")).unwrap());
        for round in 0..2 {
            let written = log.transaction(|group| {
                names().try_for_each(|name| {
                    create(group, &ada, &name, &NewTopic::default(), START)?;
                    assert_eq!(append(group, &ada, &name, &one(), START)?.tail.offset, round + 1);
                    Ok(())
                })
            });
            written.unwrap();
        }
        assert!(log.memory.unwrap().1.0.len() <= MOST);
    }
}
