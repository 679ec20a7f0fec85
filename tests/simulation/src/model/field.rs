//! One field by the rules: the value assigned to it, and what was counted or added since.

use super::{
    Judged, Mark, Writer,
    fold::{Change, array, items, number},
};

/// Increments, and members likewise, that a field keeps apart; beyond that the oldest become part of the value.
const APART: usize = 32;
/// What one of them counts towards the size of a document, beside its text.
const SHARE: usize = 32;

/// A field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Field {
    /// The value; none if it was unset or never assigned.
    value: Option<String>,
    /// The write that assigned it.
    mark: Option<Mark>,
    counts: Vec<(Place, i64)>,
    members: Vec<(Place, String)>,
}

/// Who counted or added, and at which offset.
type Place = (Writer, u64);

impl Field {
    /// What readers see.
    pub(super) fn shown(&self) -> Option<String> {
        if self.shows_counts() {
            let base = self.value.as_deref().and_then(number).unwrap_or(0);
            return Some((base + self.counts.iter().map(|(_, amount)| amount).sum::<i64>()).to_string());
        }
        if self.shows_members() {
            let mut added: Vec<&(Place, String)> = self.members.iter().collect();
            added.sort_by(|(one, a), (other, b)| (a, one.0).cmp(&(b, other.0)));
            let mut all: Vec<String> = Vec::new();
            let base = self.value.as_deref().and_then(items).unwrap_or_default();
            for item in base.into_iter().chain(added.into_iter().map(|(_, member)| member.clone())) {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
            return Some(array(&all));
        }
        self.value.clone()
    }

    /// The write that assigned it.
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Bytes that count towards the size of a document.
    pub(super) fn size(&self) -> usize {
        let apart = self.counts.len() + self.members.len();
        let members: usize = self.members.iter().map(|(_, member)| member.len()).sum();
        self.value.as_ref().map_or(0, String::len) + members + apart * SHARE
    }

    /// Whether it is as if it had never been.
    pub(super) fn is_void(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it holds a value that a writer had not seen, and which is not the one given.
    pub(super) fn differs_unseen(&self, judged: &Judged<'_>, value: &Option<String>) -> bool {
        self.mark.is_some_and(|mark| !judged.knew(&mark)) && self.value != *value
    }

    /// Whether something is in it that a writer had not seen.
    pub(super) fn has_unseen(&self, judged: &Judged<'_>) -> bool {
        let apart =
            self.counts.iter().map(|(place, _)| place).chain(self.members.iter().map(|(place, _)| place));
        self.mark.is_some_and(|mark| !judged.knew(&mark))
            || apart.into_iter().any(|place| !judged.saw(*place))
    }

    /// Whether it has a value of its own.
    pub(super) fn has_value(&self) -> bool {
        self.value.is_some()
    }

    /// Goes, because a document is to hold others only. Where somebody decides that is a write like any other, unless all
    /// that there is was counted or added unseen: that stays, and nothing was taken away. What somebody else has taken away unseen is
    /// taken away by the later of the two.
    pub(super) fn leave_out(&mut self, mark: Mark, judged: &Judged<'_>, asked: bool) {
        let takes = self.value.is_some()
            || self.counts.iter().any(|(place, _)| judged.saw(*place))
            || self.members.iter().any(|(place, _)| judged.saw(*place));
        let gone_unseen = self.value.is_none() && self.mark.is_some_and(|mark| !judged.knew(&mark));
        if asked && (takes || gone_unseen) {
            self.assign(None, mark, judged, asked);
            return;
        }
        self.cover(judged);
        if self.mark.is_none_or(|mark| judged.knew(&mark)) {
            self.value = None;
        }
    }

    /// Takes a change; returns whether it shows. Where `asked`, somebody has decided already, and time does not.
    pub(super) fn take(&mut self, change: Change, mark: Mark, judged: &Judged<'_>, asked: bool) -> bool {
        match change {
            Change::Nothing => true,
            Change::Assign(value) => self.assign(value, mark, judged, asked),
            Change::Count(amount) => {
                self.counts.push(((mark.by, mark.rev), amount));
                self.fold_counts();
                self.shows_counts()
            }
            Change::Members(members) => {
                let adds = members.iter().any(|(_, present)| *present);
                for (member, present) in members {
                    self.members.retain(|(place, other)| *other != member || !judged.saw(*place));
                    if present {
                        self.members.push(((mark.by, mark.rev), member));
                    } else if self.mark.is_none_or(|mark| judged.knew(&mark)) {
                        self.take_out(&member);
                    }
                }
                self.fold_members();
                !adds || self.shows_members()
            }
        }
    }

    fn assign(&mut self, value: Option<String>, mark: Mark, judged: &Judged<'_>, asked: bool) -> bool {
        self.cover(judged);
        let stays = self.mark.is_none_or(|there| judged.beats(mark, there) || (asked && self.value != value));
        if stays {
            self.value = value;
            self.mark = Some(mark);
        }
        stays || asked
    }

    fn cover(&mut self, judged: &Judged<'_>) {
        self.counts.retain(|(place, _)| !judged.saw(*place));
        self.members.retain(|(place, _)| !judged.saw(*place));
    }

    fn take_out(&mut self, member: &str) {
        let Some(mut all) = self.value.as_deref().and_then(items) else { return };
        if all.iter().any(|other| other == member) {
            all.retain(|other| other != member);
            self.value = Some(array(&all));
        }
    }

    fn shows_counts(&self) -> bool {
        !self.counts.is_empty() && self.value.as_deref().is_none_or(|text| number(text).is_some())
    }

    fn shows_members(&self) -> bool {
        let fits = self.value.as_deref().map_or(self.counts.is_empty(), |text| items(text).is_some());
        !self.members.is_empty() && fits
    }

    fn fold_counts(&mut self) {
        while self.counts.len() > APART {
            self.counts.sort_by_key(|((by, rev), _)| (*rev, *by));
            let (_, amount) = self.counts.remove(0);
            if let Some(before) = self.value.as_deref().map_or(Some(0), number) {
                self.value = Some((before + amount).to_string());
            }
        }
    }

    fn fold_members(&mut self) {
        while self.members.len() > APART {
            self.members.sort_by_key(|((by, rev), _)| (*rev, *by));
            let (_, member) = self.members.remove(0);
            if let Some(mut all) = self.value.as_deref().map_or(Some(Vec::new()), items) {
                if !all.contains(&member) {
                    all.push(member);
                }
                self.value = Some(array(&all));
            }
        }
    }
}
