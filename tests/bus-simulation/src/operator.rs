//! Somebody who looks after the dead letters.

use bytes::Bytes;
use server_reference::storage::events::{Change, DeadLetters, Fate, LetterId, LogError, Position, Which};

use crate::{
    model::{Letter, State},
    world::{World, group, json, words},
};

impl World {
    pub(crate) fn operate(&mut self) -> Result<(), String> {
        let letters = self.letters()?;
        let expected: Vec<_> = self.model.letters().collect();
        let seen: Vec<_> = letters
            .iter()
            .map(|(id, number, live)| (*number, Letter { round: id.round, live: *live }))
            .collect();
        let mut sorted = seen.clone();
        sorted.sort_by_key(|(number, _)| *number);
        if sorted != expected {
            return Err(format!("dead letters are {seen:?} and should be {expected:?}"));
        }
        let Some((id, number, live)) = letters.get(self.random.usize(0..letters.len().max(1))).copied()
        else {
            return Ok(());
        };
        match self.random.u8(0..4) {
            0 => self.discard(&[id]),
            1 => {
                let body = format!("{{\"edited\":{}}}", self.random.u8(..));
                let edit = Change::Edit(id, json(), Bytes::copy_from_slice(body.as_bytes()));
                let edited = self.change(edit);
                match (edited, live) {
                    (Ok(_), false) => self.model.item(number).edited = Some(body),
                    (Err(LogError::LetterLive), true) => {}
                    (edited, _) => return Err(format!("an edit of {number} (live: {live}): {edited:?}")),
                }
                Ok(())
            }
            _ => {
                // Whoever repeats what was done to an earlier death changes nothing.
                let stale = LetterId { round: id.round + 1, ..id };
                let fates = self.change(Change::Retry(vec![id, stale, id])).map_err(words)?;
                let expected = [(id, Fate::Retrying), (stale, Fate::Gone), (id, Fate::Retrying)];
                if fates != expected {
                    return Err(format!("retried: {fates:?}"));
                }
                let item = self.model.item(number);
                if !live {
                    item.again |= item.state == State::Resolved;
                    (item.state, item.attempts, item.due) = (State::Waiting, 0, (0, 0));
                    item.letter = Some(Letter { round: id.round, live: true });
                }
                Ok(())
            }
        }
    }

    pub(crate) fn discard(&mut self, ids: &[LetterId]) -> Result<(), String> {
        let known = self.letters()?;
        for (id, fate) in self.change(Change::Discard(ids.to_vec())).map_err(words)? {
            let Some((_, number, live)) = known.iter().find(|(known, ..)| *known == id) else {
                return Err(format!("{id} was never there"));
            };
            let expected = if *live { Fate::Retrying } else { Fate::Discarded };
            if fate != expected {
                return Err(format!("{number} was {expected:?}, and {fate:?} was told"));
            }
            let item = self.model.item(*number);
            if !live {
                (item.state, item.letter) = (State::Resolved, None);
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<Vec<(LetterId, Fate)>, LogError> {
        let changed = self.runtime.block_on(self.store().change_letters(
            self.scope.clone(),
            group(),
            change.clone(),
            self.time(),
        ));
        self.note(format_args!("{change:?}: {changed:?}"));
        changed
    }

    /// Each letter with the number of its event, and whether it is being tried.
    pub(crate) fn letters(&mut self) -> Result<Vec<(LetterId, u64, bool)>, String> {
        let which = Which::After(0, 1_000);
        let letters =
            self.runtime.block_on(self.store().letters(self.scope.clone(), group(), which, self.time()));
        let told = |letter: server_reference::storage::events::Letter| {
            let position: Position = letter.position.parse().map_err(|_| "no position".to_owned())?;
            Ok((letter.id, position.offset, letter.retrying))
        };
        letters.map_err(words)?.into_iter().map(told).collect()
    }
}
