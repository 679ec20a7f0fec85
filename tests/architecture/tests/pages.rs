//! What the pages for people promise is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The targets of the Markdown links on a page that are no addresses.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

/// The first code block in a language.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("```{language}\n")).expect("there is such a block");
    rest.split("```").next().expect("it ends")
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "npm/README.md",
        "docs/ARCHITECTURE.md",
        "docs/protocol.md",
        "docs/operations.md",
        "docs/operations/runbooks.md",
    ] {
        let text = read(page);
        for link in links(&text) {
            let file = link.split('#').next().unwrap_or(link);
            let target = root().join(page).parent().unwrap().join(file);
            assert!(target.exists(), "{page}: {link} leads nowhere");
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} links were found");
}

#[test]
fn every_section_that_the_protocol_page_links_to_exists() {
    let text = read("docs/protocol.md");
    let heading = |line| str::strip_prefix(line, "## ").or_else(|| line.strip_prefix("### "));
    let headings: Vec<_> = text.lines().filter_map(heading).collect();
    let anchors: Vec<_> = headings.iter().map(|heading| heading.to_lowercase().replace(' ', "-")).collect();
    for link in text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link} leads nowhere");
    }
}

#[test]
fn the_quick_start_is_that_of_the_package() {
    assert_eq!(block(&read("README.md"), "ts"), block(&read("npm/README.md"), "ts"));
}
