//! Which page of a list is asked for.

use sdk_core::protocol::ProtocolError;

use super::malformed;
use crate::streams::decode;

/// What a page begins behind, and how many it holds at most.
pub(super) struct Page<K> {
    pub(super) after: Option<K>,
    pub(super) most: usize,
}

impl<K> Page<K> {
    /// Reads `after` and `limit` of a query. `behind` understands what an earlier page gave as `next`; where no limit is
    /// said it is the `usual` one, and never more than `most`.
    pub(super) fn read(
        query: Option<&str>,
        behind: impl Fn(&str) -> Option<K>,
        usual: usize,
        most: usize,
    ) -> Result<Self, ProtocolError> {
        let mut page = Self { after: None, most: usual };
        for part in query.unwrap_or_default().split('&') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("after", text) => {
                    let key = decode(text).and_then(|text| behind(&text));
                    page.after = Some(key.ok_or_else(|| malformed("after is not what next was"))?);
                }
                ("limit", text) => {
                    page.most = text.parse().map_err(|_| malformed("limit is a number"))?;
                }
                _ => {}
            }
        }
        page.most = page.most.clamp(1, most);
        Ok(page)
    }
}
