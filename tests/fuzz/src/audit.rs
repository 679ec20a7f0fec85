//! Checkpoints of the audit, as somebody kept them.

use bolero::check;
use server_reference::storage::sqlite::audit::Checkpoint;

use crate::within_bounds;

#[test]
fn checkpoints() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Some(one) = within_bounds(input.len(), || Checkpoint::parse(text)) {
            let written = one.to_string();
            assert_eq!(Checkpoint::parse(&written).as_ref(), Some(&one), "{written:?}");
            assert!(text.contains(one.origin()));
        }
        if let Some(all) = within_bounds(input.len(), || Checkpoint::parse_all(text)) {
            let written: Vec<_> = all.iter().map(ToString::to_string).collect();
            assert_eq!(Checkpoint::parse_all(&written.join("\n")), Some(all));
        }
    });
}
