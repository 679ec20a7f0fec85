//! The names under which readers know a collection's history.
//!
//! Inside the server a history has one epoch. A reader is told a name that is made of it, of the portion that the
//! reader may see, and of the horizon at which it began to read. So a reader whose portion has changed stands in
//! another history, and starts anew: what it may no longer read leaves it by the one rule for histories that do not
//! go on. And a reader that began when tombstones were pruned up to an offset has missed nothing of them, however slowly
//! it reads what is older.

use sdk_core::protocol::{Epoch, InvalidId, Offset, StreamPosition};

use crate::access::Portion;

/// A collection's history, as the readers of one portion know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History<'a> {
    /// Its epoch.
    pub(crate) epoch: &'a Epoch,
    /// What the readers may see.
    pub(crate) portion: &'a Portion,
}

impl History<'_> {
    /// Its name for a reader that begins at a horizon.
    ///
    /// # Errors
    /// The epoch is too long to have anything added to it.
    pub(crate) fn name(self, began: Offset) -> Result<Epoch, InvalidId> {
        let epoch = self.epoch;
        match (self.portion.mark(), began) {
            (None, Offset(0)) => Ok(epoch.clone()),
            (None, Offset(began)) => Epoch::new(&format!("{epoch}~{began:x}")),
            (Some(mark), Offset(began)) => Epoch::new(&format!("{epoch}~{began:x}~{mark}")),
        }
    }

    /// The horizon at which the reader began whose history has this name; none if it is another history.
    pub(crate) fn began(self, name: &Epoch) -> Option<Offset> {
        let rest = name.as_str().strip_prefix(self.epoch.as_str())?;
        let rest = match self.portion.mark() {
            Some(mark) => rest.strip_suffix(mark.as_str())?.strip_suffix('~')?,
            None => rest,
        };
        if rest.is_empty() {
            // The bare epoch is the name of the whole.
            return (*self.portion == Portion::Whole).then_some(Offset(0));
        }
        u64::from_str_radix(rest.strip_prefix('~')?, 16).ok().map(Offset)
    }
}

/// Where every reader of a collection stands of which it may see nothing, whether there is one or not.
pub(crate) fn nowhere() -> Result<StreamPosition, InvalidId> {
    Ok(StreamPosition { epoch: Epoch::new("nothing")?, offset: Offset(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_only_its_own_readers_when_they_began() {
        let (one, other) = (Epoch::new("one").unwrap(), Epoch::new("other").unwrap());
        let (team, teams) =
            (Portion::Under(vec!["a/".into()]), Portion::Under(vec!["a/".into(), "b/".into()]));
        let portions = [Portion::Whole, team, teams];
        let all: Vec<History<'_>> = [&one, &other]
            .into_iter()
            .flat_map(|epoch| portions.iter().map(move |portion| History { epoch, portion }))
            .collect();
        for (n, history) in all.iter().enumerate() {
            for began in [Offset(0), Offset(41), Offset(sdk_core::protocol::MAX_SAFE_INTEGER)] {
                let name = history.name(began).unwrap();
                for (m, reader) in all.iter().enumerate() {
                    assert_eq!(reader.began(&name), (n == m).then_some(began), "{name} {reader:?}");
                }
            }
        }
        let whole = History { epoch: &one, portion: &Portion::Whole };
        assert_eq!(whole.name(Offset(0)).unwrap(), one);
    }

    #[test]
    fn the_names_of_random_epochs_are_not_too_long() {
        let epoch = crate::random::epochs()();
        let portion = Portion::Under(vec!["a/".into()]);
        let longest = History { epoch: &epoch, portion: &portion }
            .name(Offset(sdk_core::protocol::MAX_SAFE_INTEGER))
            .unwrap();
        assert!(longest.as_str().len() <= 64);
    }
}
