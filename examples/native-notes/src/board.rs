//! Cards, and the board they stand on.

use std::fmt;

use anyhow::{Context, bail};
use clap::ValueEnum;
use sdk_core::client::Document;
use serde::{Deserialize, Serialize};

/// A card as it is stored, field by field. A field that is missing is no reason not to show the others.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Card {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) column: Column,
    /// Where it stands in its column: smaller is further up.
    pub(crate) order: f64,
}

#[derive(Clone, Copy, PartialEq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Column {
    #[default]
    Todo,
    Doing,
    Done,
}

impl Default for Card {
    fn default() -> Self {
        Self { title: String::new(), note: String::new(), column: Column::Todo, order: 0.0 }
    }
}

/// Every card, in the order in which they are shown.
pub(crate) struct Board(Vec<Document<Card>>);

impl Board {
    pub(crate) fn new(mut cards: Vec<Document<Card>>) -> Self {
        // Two people may choose the same place while apart; the id then decides, everywhere alike.
        cards.sort_by(|a, b| a.value.order.total_cmp(&b.value.order).then_with(|| a.id.cmp(&b.id)));
        Self(cards)
    }

    /// The place below the last card of the first column.
    pub(crate) fn next_order(&self) -> f64 {
        let last = self.0.iter().rfind(|card| card.value.column == Column::Todo);
        last.map_or(0.0, |card| card.value.order + 1024.0)
    }

    /// The id of the one card whose id begins like this.
    pub(crate) fn find(&self, prefix: &str) -> anyhow::Result<&str> {
        let mut found = self.0.iter().map(|card| card.id.as_str()).filter(|id| id.starts_with(prefix));
        let id = found.next().with_context(|| format!("no card whose id begins with {prefix:?}"))?;
        if found.next().is_some() {
            bail!("several cards have an id that begins with {prefix:?}");
        }
        Ok(id)
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (column, name) in [(Column::Todo, "To do"), (Column::Doing, "Doing"), (Column::Done, "Done")] {
            writeln!(f, "{name}")?;
            for card in self.0.iter().filter(|card| card.value.column == column) {
                // Whoever looks at the board should see which edits only this device has.
                let mark = if card.pending { "  (not on the server yet)" } else { "" };
                writeln!(f, "  {}  {}{mark}", short(card.id.as_str()), card.value.title)?;
                if !card.value.note.is_empty() {
                    writeln!(f, "            {}", card.value.note)?;
                }
            }
        }
        Ok(())
    }
}

/// As much of an id as people like to type.
pub(crate) fn short(id: &str) -> &str {
    id.char_indices().nth(8).map_or(id, |(end, _)| &id[..end])
}
