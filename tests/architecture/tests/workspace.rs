//! The checkout keeps the rules of `docs/ARCHITECTURE.md`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use architecture::{Source, rules};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below `folder` that people wrote, with its path below it.
fn files(folder: &Path, extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                let foreign =
                    matches!(&*name, "node_modules" | "target" | "dist" | "pkg") || name.starts_with('.');
                if !foreign {
                    folders.push(path);
                }
            } else if extensions.iter().any(|extension| path.extension().is_some_and(|it| it == *extension)) {
                let below = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.push((below, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{} holds nothing to check", folder.display());
    found
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_rooms_of_the_core_depend_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in files(&root().join("sdk-core/src"), &["rs"]) {
        let module = Source::module_of(&file);
        let source = Source::parse(&module, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
        wrong.extend(
            rules::core(&module, &source).into_iter().map(|rule| format!("sdk-core/src/{file}: {rule}")),
        );
    }
    assert_none(&wrong);
}

#[test]
fn the_server_uses_nothing_of_the_client() {
    let mut wrong = Vec::new();
    for (file, text) in files(&root().join("server-reference/src"), &["rs"]) {
        let source =
            Source::parse(&Source::module_of(&file), &text).unwrap_or_else(|error| panic!("{file}: {error}"));
        wrong.extend(
            rules::server(&source).into_iter().map(|rule| format!("server-reference/src/{file}: {rule}")),
        );
    }
    assert_none(&wrong);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let all = files(&root(), &["rs", "ts", "tsx", "js", "mjs", "css", "html"]);
    let wrong = all.iter().filter_map(|(file, text)| Some(format!("{file}: {}", rules::length(text)?)));
    assert_none(&wrong.collect::<Vec<_>>());
}
