//! One Rust file as the rules see it: the paths it names and the words it uses.

use std::{iter::Peekable, str::FromStr};

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream::IntoIter};

/// Why a file could not be read.
#[derive(Debug)]
pub struct ParseError(String);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not Rust: {}", self.0)
    }
}

impl std::error::Error for ParseError {}

/// What a file names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Paths with at least two parts, each written out: `use a::{b, c::d}` names `a::b` and `a::c::d`.
    /// `crate`, `self` and `super` are resolved, so that a path within the crate begins with `crate`.
    pub paths: Vec<Vec<String>>,
    /// Every identifier and keyword.
    pub words: Vec<String>,
    /// Names before an opening parenthesis, the last of their path: functions called or defined, and macros not.
    pub calls: Vec<String>,
}

impl Source {
    /// Reads `text`, the file of `module`: the path of the module below its crate, empty for the root.
    ///
    /// # Errors
    /// If the text is not made of Rust's tokens.
    pub fn parse(module: &[&str], text: &str) -> Result<Self, ParseError> {
        let tokens = TokenStream::from_str(text).map_err(|error| ParseError(error.to_string()))?;
        let mut source = Self::default();
        let mut place: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        source.read(tokens, &mut place);
        Ok(source)
    }

    /// The module within which a file of a crate lies, from its path below `src`.
    pub fn module_of(below_src: &str) -> Vec<&str> {
        let stem = below_src.strip_suffix(".rs").unwrap_or(below_src);
        let mut parts: Vec<_> = stem.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    fn read(&mut self, tokens: TokenStream, place: &mut Vec<String>) {
        let mut tokens = tokens.into_iter().peekable();
        let mut previous = String::new();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    self.words.push(name.clone());
                    let inline_module = previous == "mod" && braces(&mut tokens);
                    if inline_module {
                        place.push(name.clone());
                        if let Some(TokenTree::Group(body)) = tokens.next() {
                            self.read(body.stream(), place);
                        }
                        place.pop();
                    } else {
                        self.path(vec![name.clone()], &mut tokens, place);
                    }
                    previous = name;
                }
                TokenTree::Group(group) => {
                    self.read(group.stream(), place);
                    previous.clear();
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => previous.clear(),
            }
        }
    }

    /// Follows a path from its first part to all its ends.
    fn path(&mut self, mut parts: Vec<String>, tokens: &mut Peekable<IntoIter>, place: &[String]) {
        while colons(tokens) {
            match tokens.peek() {
                Some(TokenTree::Ident(ident)) => {
                    let part = ident.to_string();
                    self.words.push(part.clone());
                    parts.push(part);
                    tokens.next();
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let branches = group.stream();
                    tokens.next();
                    self.branches(&parts, branches, place);
                    return;
                }
                // A glob names the module itself; generic arguments end what the rules care for.
                _ => break,
            }
        }
        let called =
            matches!(tokens.peek(), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis);
        if called && let Some(name) = parts.last() {
            self.calls.push(name.clone());
        }
        if parts.len() > 1 {
            self.paths.push(resolve(parts, place));
        }
    }

    fn branches(&mut self, stem: &[String], branches: TokenStream, place: &[String]) {
        let mut tokens = branches.into_iter().peekable();
        while let Some(token) = tokens.next() {
            if let TokenTree::Ident(ident) = token {
                let part = ident.to_string();
                self.words.push(part.clone());
                if part == "as" {
                    tokens.next();
                    continue;
                }
                let mut parts = stem.to_vec();
                if part != "self" {
                    parts.push(part);
                }
                self.path(parts, &mut tokens, place);
            }
        }
    }
}

fn braces(tokens: &mut Peekable<IntoIter>) -> bool {
    matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

/// Takes `::`, if that is what comes next.
fn colons(tokens: &mut Peekable<IntoIter>) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    let mut ahead = tokens.clone();
    let both = ahead.next().is_some_and(|token| is_colon(&token))
        && ahead.next().is_some_and(|token| is_colon(&token));
    if both {
        *tokens = ahead;
    }
    both
}

/// Makes a relative path begin with `crate`.
fn resolve(parts: Vec<String>, place: &[String]) -> Vec<String> {
    let ups = parts.iter().take_while(|part| *part == "super").count();
    let (start, rest) = match parts.first().map(String::as_str) {
        Some("self") => (place, &parts[1..]),
        Some("super") => (&place[..place.len().saturating_sub(ups)], &parts[ups..]),
        _ => return parts,
    };
    std::iter::once("crate".to_owned()).chain(start.iter().cloned()).chain(rest.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(module: &[&str], text: &str) -> Vec<String> {
        let paths = Source::parse(module, text).unwrap().paths;
        paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn a_use_tree_is_written_out() {
        let text = "use crate::{clock::{self, Millis as M}, protocol::*};";
        assert_eq!(paths(&[], text), ["crate::clock", "crate::clock::Millis", "crate::protocol"]);
    }

    #[test]
    fn relative_paths_are_resolved_where_they_stand() {
        let text =
            "use super::pack; mod tests { use super::super::super::clock::Millis; } fn f() { self::g() }";
        let expected = ["crate::outbox::pack", "crate::clock::Millis", "crate::outbox::entry::g"];
        assert_eq!(paths(&["outbox", "entry"], text), expected);
    }

    #[test]
    fn paths_in_macros_count_and_comments_do_not() {
        let text = "// crate::a::b\n/// crate::c::d\nmacro_rules! m { () => { $crate::engine::Engine } } const S: &str = \"crate::e::f\";";
        assert_eq!(paths(&[], text), ["crate::engine::Engine"]);
    }

    #[test]
    fn a_call_is_told_from_a_field() {
        let source = Source::parse(&[], "fn f() { write.now.plus(1); clock.now(); Instant::now() }").unwrap();
        assert_eq!(source.calls, ["f", "plus", "now", "now"]);
    }

    #[test]
    fn a_file_knows_its_module() {
        assert_eq!(Source::module_of("outbox/pack.rs"), ["outbox", "pack"]);
        assert_eq!(Source::module_of("outbox/mod.rs"), ["outbox"]);
        assert!(Source::module_of("lib.rs").is_empty());
    }
}
