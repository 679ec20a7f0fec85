//! Settings: what stands on the command line comes before the environment, that before a file, and that before what
//! counts where nobody says anything.
//!
//! The options of `serve` are all that there is to a setting: its key in the file is the name of the option, and what the
//! file says takes the place of the option's default. So a new option is a setting everywhere.

mod file;
mod schema;
mod show;

use std::path::PathBuf;

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{OsStr, Str},
};

pub(crate) use file::BadFile;
use file::Setting;

/// The command whose options are the settings.
const SERVE: &str = "serve";
/// The option that names a file, which can be in no file.
const CONFIG: &str = "config";

/// Reads the command line with the file that it or the environment names, if any.
///
/// # Errors
/// [`BadFile`]: what is wrong, and where. What is wrong with the command line or the environment ends the program with a
/// message, and so does a question for help.
pub(crate) fn read(cli: Command) -> Result<Settings, BadFile> {
    let matches = cli.clone().get_matches();
    let Some(path) = named(&matches) else { return Ok(Settings { matches, cli, in_file: Vec::new() }) };
    let serve = cli.find_subcommand(SERVE).expect("there is this command");
    let found = file::read(&path, &settings(serve).collect::<Vec<_>>())?;
    let matches = with(cli.clone(), &found).get_matches();
    Ok(Settings { matches, cli, in_file: found.into_iter().map(|setting| setting.key).collect() })
}

/// What was said, wherever.
pub(crate) struct Settings {
    /// As the command line is read.
    pub(crate) matches: ArgMatches,
    cli: Command,
    /// The keys of the file.
    in_file: Vec<String>,
}

impl Settings {
    /// The options of `serve` that may be in a file.
    fn options(&self) -> impl Iterator<Item = &Arg> {
        settings(self.cli.find_subcommand(SERVE).expect("there is this command"))
    }

    /// What was said for the innermost command.
    fn innermost(&self) -> &ArgMatches {
        let mut matches = &self.matches;
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        matches
    }
}

/// The options of `serve` that may be in a file.
fn settings(serve: &Command) -> impl Iterator<Item = &Arg> {
    serve.get_arguments().filter(|arg| arg.get_env().is_some() && arg.get_id() != CONFIG)
}

/// The file that the innermost command names.
fn named(matches: &ArgMatches) -> Option<PathBuf> {
    if let Ok(Some(path)) = matches.try_get_one::<PathBuf>(CONFIG) {
        return Some(path.clone());
    }
    named(matches.subcommand()?.1)
}

/// A command whose options have the settings of a file as their defaults, wherever one has the name and the variable of a
/// setting.
fn with(command: Command, settings: &[Setting]) -> Command {
    let command = command.mut_args(|arg| {
        let of = |setting: &&Setting| {
            arg.get_long() == Some(&setting.key) && arg.get_env() == Some(setting.variable.as_ref())
        };
        let Some(setting) = settings.iter().find(of) else { return arg };
        let values: Vec<OsStr> = setting.values.iter().map(|value| Str::from(value.clone()).into()).collect();
        arg.default_values(values)
    });
    command.mut_subcommands(|subcommand| with(subcommand, settings))
}

/// What kind of value an option has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    Number,
    Text,
    List,
}

impl Kind {
    fn of(arg: &Arg) -> Self {
        let kind = arg.get_value_parser().type_id();
        let numbers = [
            std::any::TypeId::of::<u16>(),
            std::any::TypeId::of::<u32>(),
            std::any::TypeId::of::<u64>(),
            std::any::TypeId::of::<usize>(),
        ];
        match arg.get_action() {
            ArgAction::SetTrue => Self::Flag,
            ArgAction::Append => Self::List,
            _ if numbers.iter().any(|number| kind == *number) => Self::Number,
            _ => Self::Text,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number => "a whole number",
            Self::Text => "a text",
            Self::List => "a list of texts",
        }
    }
}

/// Whether an option takes a value, and if not, why.
fn check(arg: &Arg, value: &str) -> Result<(), String> {
    let alone = Arg::new("value").value_parser(arg.get_value_parser().clone()).allow_hyphen_values(true);
    let command = Command::new("check").no_binary_name(true).disable_help_flag(true).arg(alone);
    command.try_get_matches_from(["--", value]).map(drop).map_err(|error| {
        let possible = arg.get_possible_values();
        if !possible.is_empty() {
            let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
            return format!("one of {}", names.join(", "));
        }
        std::error::Error::source(&error).map_or_else(|| "another value".to_owned(), ToString::to_string)
    })
}

/// The first sentence of an option's help.
fn help(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}
