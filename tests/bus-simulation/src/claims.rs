//! What is true after each step.

use server_reference::storage::events::{EventLog, GroupStore};

use crate::{
    model::State,
    world::{World, group, topic, words},
};

impl World {
    /// No more is gone than retention takes, and what is gone stays so.
    pub(crate) fn look_at_the_head(&mut self) -> Result<(), String> {
        let state = self
            .runtime
            .block_on(self.store().describe(self.scope.clone(), topic(), self.time()))
            .map_err(words)?;
        let tail = self.model.tail();
        if state.tail.offset != tail {
            return Err(format!("the topic ends at {} and has {tail} events", state.tail.offset));
        }
        let trimmed = state.earliest.offset;
        let by_number = self.retention.events.map_or(0, |events| tail.saturating_sub(events));
        let oldest = self.retention.age.map_or(0, |age| self.now.saturating_sub(age));
        let by_age = self.model.items.iter().filter(|item| item.at < oldest).count() as u64;
        if trimmed < self.model.trimmed || trimmed > by_number.max(by_age) {
            return Err(format!("{trimmed} of {tail} are gone, and were {}", self.model.trimmed));
        }
        self.model.trimmed = trimmed;
        Ok(())
    }

    /// What is true after each step.
    pub(crate) fn hold(&mut self) -> Result<(), String> {
        self.look_at_the_head()?;
        let state = self
            .runtime
            .block_on(self.store().group(self.scope.clone(), group(), self.time()))
            .map_err(words)?;
        let seen =
            [state.cursor.offset, state.leased, state.halted, state.lost, state.skipped, state.letters];
        let model = &self.model;
        let expected = [
            model.cursor(),
            model.count(|state| matches!(state, State::Out(_))),
            model.count(|state| state == State::Halted),
            model.lost,
            model.skipped,
            model.letters().count() as u64,
        ];
        if seen != expected {
            return Err(format!(
                "cursor, leased, halted, lost, skipped, letters: {seen:?}, not {expected:?}"
            ));
        }
        Ok(())
    }
}
