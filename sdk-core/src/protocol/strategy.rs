//! How concurrent edits are resolved.

use crate::wire::{Bad, Decode, Encode, Reader, write_text};

/// How concurrent edits of a document are resolved. Chosen per collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub enum Strategy {
    /// Field by field: edits of different fields both stay; of one field, the later stays.
    #[default]
    FieldLevel,
    /// The document as a whole: the later edit stays.
    LastWriteWins,
    /// Field by field, and where two edits of one field collide, a function of the application merges them.
    Merge,
    /// Field by field, and where two edits of one field collide, a person decides.
    Manual,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::FieldLevel, Self::LastWriteWins, Self::Merge, Self::Manual];

    /// Its name, on the wire and in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FieldLevel => "fieldLevel",
            Self::LastWriteWins => "lastWriteWins",
            Self::Merge => "merge",
            Self::Manual => "manual",
        }
    }

    /// The strategy of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name)
    }

    /// Whether edits that collide are a conflict that somebody resolves, and not time.
    pub fn has_conflicts(self) -> bool {
        matches!(self, Self::Merge | Self::Manual)
    }
}

impl Encode for Strategy {
    fn write(&self, out: &mut String) {
        write_text(self.as_str(), out);
    }
}

impl Decode for Strategy {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let name = reader.string()?;
        Self::named(&name).ok_or_else(|| reader.bad("not a known strategy"))
    }
}
