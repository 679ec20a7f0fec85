//! Skips work whose inputs are unchanged: a digest of the inputs is kept beside what came of them.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The digest of some files, folders and words.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Begins with words that name the work and its settings.
    pub(crate) fn of(words: &[&str]) -> Self {
        let mut digest = Sha256::new();
        words.iter().for_each(|word| part(&mut digest, word.as_bytes()));
        Self(digest)
    }

    /// Adds a file, or all files below a folder but those in folders that tools fill.
    pub(crate) fn with(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        self.add(path).with_context(|| format!("{} could not be read", path.display()))?;
        Ok(self)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        part(&mut self.0, name.as_bytes());
        if path.is_dir() {
            let mut below: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
            below.sort_by_key(fs::DirEntry::file_name);
            for entry in below.iter().filter(|entry| !is_output(&entry.file_name().to_string_lossy())) {
                self.add(&entry.path())?;
            }
        } else {
            part(&mut self.0, &fs::read(path)?);
        }
        Ok(())
    }

    /// Whether `stamp` was written for these inputs.
    pub(crate) fn matches(&self, stamp: &Path) -> bool {
        fs::read_to_string(stamp).is_ok_and(|text| text == self.text())
    }

    /// Writes the stamp, once the work is done.
    pub(crate) fn write(&self, stamp: &Path) -> Result<()> {
        if let Some(folder) = stamp.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(stamp, self.text()).with_context(|| format!("{} could not be written", stamp.display()))
    }

    fn text(&self) -> String {
        self.0.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn is_output(name: &str) -> bool {
    matches!(name, "node_modules" | "dist" | "pkg" | "target" | ".vite")
}

/// Adds bytes with their length, so that two parts never read as one.
fn part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_again_when_a_file_its_name_or_a_setting_changes() {
        let folder = std::env::temp_dir().join(format!("fingerprint-{}", std::process::id()));
        let inputs = folder.join("inputs");
        fs::create_dir_all(inputs.join("dist")).unwrap();
        fs::write(inputs.join("a"), "1").unwrap();
        let stamp = folder.join("stamps/work");
        let print = |setting| Fingerprint::of(&["work", setting]).with(&inputs).unwrap();

        assert!(!print("x").matches(&stamp), "never done");
        print("x").write(&stamp).unwrap();
        assert!(print("x").matches(&stamp));
        assert!(!print("y").matches(&stamp));
        fs::write(inputs.join("dist/made"), "by a tool").unwrap();
        assert!(print("x").matches(&stamp), "what tools make is no input");
        fs::rename(inputs.join("a"), inputs.join("b")).unwrap();
        assert!(!print("x").matches(&stamp));
        fs::rename(inputs.join("b"), inputs.join("a")).unwrap();
        fs::write(inputs.join("a"), "2").unwrap();
        assert!(!print("x").matches(&stamp));
        fs::remove_dir_all(folder).unwrap();
    }
}
