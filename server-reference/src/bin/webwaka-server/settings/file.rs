//! A file of settings, in TOML.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Arg;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Kind, check, help};

/// Bytes of a file at most; one of settings is far smaller.
const MOST: usize = 1 << 20;

/// A setting as a file has it, in the texts that the option takes.
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) variable: std::ffi::OsString,
    pub(super) values: Vec<String>,
}

/// Why a file of settings was refused. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFile {
    /// It cannot be read.
    #[error("the file of settings {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}:{line}: {problem}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What, with the key and what is expected.
        problem: String,
    },
}

/// Reads the settings of a file, each of which has to be one of the options and have a value that it takes.
pub(super) fn read(path: &Path, options: &[&Arg]) -> Result<Vec<Setting>, BadFile> {
    let unreadable = |source| BadFile::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    if text.len() > MOST {
        return Err(unreadable(io::Error::other("it is too large")));
    }
    parse(&text, options).map_err(|(at, problem)| BadFile::Wrong {
        path: path.to_owned(),
        line: text.get(..at).unwrap_or(&text).matches('\n').count() + 1,
        problem,
    })
}

/// The settings of a text; where it is wrong, the place and the problem.
fn parse(text: &str, options: &[&Arg]) -> Result<Vec<Setting>, (usize, String)> {
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let setting = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let at = key.span().start;
        let name: &str = std::convert::AsRef::<str>::as_ref(key.get_ref());
        let option = options.iter().find(|option| option.get_long() == Some(name));
        let Some(option) = option else {
            let known: Vec<&str> = options.iter().filter_map(|option| option.get_long()).collect();
            return Err((at, format!("there is no setting {name:?}; there are {}", known.join(", "))));
        };
        let values = texts(option, value.get_ref()).map_err(|why| {
            (at, format!("{name}: expected {why} ({})", help(option).trim_end_matches('.')))
        })?;
        let variable = option.get_env().map(ToOwned::to_owned).unwrap_or_default();
        Ok(Setting { key: name.to_owned(), variable, values })
    };
    table.get_ref().iter().map(setting).collect()
}

/// The texts of a value as the option takes them, or what it expects.
fn texts(option: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let kind = Kind::of(option);
    let other = || kind.name().to_owned();
    let values = match (kind, value) {
        (Kind::Flag, DeValue::Boolean(flag)) => vec![flag.to_string()],
        (Kind::Number, DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| other())?;
            vec![number.to_string()]
        }
        (Kind::Text, DeValue::String(text)) => vec![text.to_string()],
        (Kind::List, DeValue::Array(list)) => {
            let texts = list.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned));
            texts.collect::<Option<_>>().ok_or_else(other)?
        }
        _ => return Err(other()),
    };
    if kind != Kind::Flag {
        values
            .iter()
            .try_for_each(|value| check(option, value))
            .map_err(|why| format!("{}: {why}", kind.name()))?;
    }
    Ok(values)
}
