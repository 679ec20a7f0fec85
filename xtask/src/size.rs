//! `cargo xtask size`: what a page downloads. KB = 1000 bytes.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{bundle, report::Steps, workspace::Workspace};

/// What a page may download in all, brotli (`docs/decisions/0003-size-budget.md`).
const BUDGET: usize = 173_000;
/// How much more than what is recorded a change may bring unnoticed.
const GROWTH_PERCENT: usize = 2;

/// One file in its three sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sizes {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

impl Sizes {
    fn of(bytes: &[u8]) -> Result<Self> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes)?;
        let mut brotli = Vec::new();
        let best = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
        brotli::BrotliCompress(&mut &*bytes, &mut brotli, &best)?;
        Ok(Self { raw: bytes.len(), gzip: gzip.finish()?.len(), brotli: brotli.len() })
    }

    fn plus(self, other: Self) -> Self {
        Self { raw: self.raw + other.raw, gzip: self.gzip + other.gzip, brotli: self.brotli + other.brotli }
    }

    fn row(&self, name: &str) {
        println!(
            "{name:24} {:>9} {:>9} {:>9}",
            kilobytes(self.raw),
            kilobytes(self.gzip),
            kilobytes(self.brotli)
        );
    }
}

/// What a page downloads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Download {
    wasm: Sizes,
    js: Sizes,
}

impl Download {
    /// Builds the npm package and weighs it.
    pub(crate) fn measure(workspace: &Workspace) -> Result<Self> {
        bundle::build(workspace, &mut Steps::new(bundle::STEPS))?;
        let dist = workspace.npm().join("dist");
        let read = |path: PathBuf| fs::read(&path).with_context(|| format!("{} is missing", path.display()));
        let wasm = Sizes::of(&read(dist.join("engine.wasm"))?)?;
        let js = Sizes::of(&read(dist.join("index.js"))?)?;
        Ok(Self { wasm, js })
    }

    fn total(&self) -> Sizes {
        self.wasm.plus(self.js)
    }

    /// Prints the table, and with `json` a last line with the same figures.
    pub(crate) fn print(&self, workspace: &Workspace, json: bool) -> Result<()> {
        println!("{:24} {:>9} {:>9} {:>9}", "what a page downloads", "raw", "gzip", "brotli");
        self.wasm.row("engine.wasm");
        self.js.row("index.js");
        self.total().row("total");
        println!("{:24} {:>29}", "budget", kilobytes(BUDGET));
        let recorded = recorded(workspace)?;
        println!("{:24} {:>29}", "recorded", kilobytes(recorded));
        if json {
            let line = json!({
                "wasm_raw": self.wasm.raw, "wasm_gzip": self.wasm.gzip, "wasm_brotli": self.wasm.brotli,
                "js_raw": self.js.raw, "js_gzip": self.js.gzip, "js_brotli": self.js.brotli,
                "brotli_total": self.total().brotli, "budget": BUDGET, "recorded": recorded,
            });
            println!("{line}");
        }
        Ok(())
    }

    /// Holds the budget, and the size that was recorded last.
    pub(crate) fn hold(&self, workspace: &Workspace) -> Result<()> {
        let (total, recorded) = (self.total().brotli, recorded(workspace)?);
        judge(total, recorded)
    }

    /// Makes this size the one that later ones are held to.
    pub(crate) fn record(&self, workspace: &Workspace) -> Result<()> {
        let text = format!("{}\n", json!({ "brotli_total": self.total().brotli }));
        Ok(fs::write(record_file(workspace), text)?)
    }
}

fn judge(total: usize, recorded: usize) -> Result<()> {
    ensure!(total <= BUDGET, "the download has {total} bytes; the budget is {BUDGET}");
    let most = recorded + recorded * GROWTH_PERCENT / 100;
    ensure!(
        total <= most,
        "the download has {total} bytes, more than {GROWTH_PERCENT} % over the {recorded} recorded; if it is worth it, \
         run `cargo xtask size --record`"
    );
    Ok(())
}

fn record_file(workspace: &Workspace) -> PathBuf {
    workspace.path(Path::new("xtask").join("size.json"))
}

fn recorded(workspace: &Workspace) -> Result<usize> {
    let text = fs::read_to_string(record_file(workspace)).context("no size is recorded")?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let total = value["brotli_total"].as_u64().context("the record has no brotli_total")?;
    Ok(usize::try_from(total)?)
}

fn kilobytes(bytes: usize) -> String {
    format!("{}.{} KB", bytes / 1000, bytes % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_two_percent_or_the_budget_is_refused() {
        assert!(judge(80_000, 80_000).is_ok());
        assert!(judge(81_600, 80_000).is_ok());
        assert!(judge(81_601, 80_000).is_err());
        assert!(judge(BUDGET, BUDGET).is_ok());
        assert!(judge(BUDGET + 1, BUDGET).is_err());
    }

    #[test]
    fn sizes_are_of_the_same_bytes() {
        let sizes = Sizes::of(&[7; 10_000]).unwrap();
        assert_eq!(sizes.raw, 10_000);
        assert!(sizes.gzip < 100 && sizes.brotli < sizes.gzip, "{sizes:?}");
        assert_eq!(kilobytes(81_650), "81.6 KB");
    }
}
