//! `--config`: what was asked for once, asked for again.
//!
//! A file in TOML, or the report of an earlier run, says what a command line would: the command, the data, and every flag by
//! its long name. The command line has the last word.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use gleaner::{Error, Result};
use serde_json::{Map, Value};

/// Flags that do not change what comes out.
const OF_THE_MACHINE: [&str; 8] =
    ["config", "quiet", "json", "help", "version", "threads", "memory-limit", "resume"];
const COMMAND: &str = "command";
const DATA: &str = "data";

/// A command line with what its `--config` says put in.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::File`] for one that is no configuration or of another command.
pub fn expanded(given: Vec<OsString>, whole: &Command) -> Result<Vec<OsString>> {
    let Some(path) = value_of("--config", &given) else { return Ok(given) };
    let path = Path::new(&path);
    let asked = read(path)?;
    let kept = asked.get(COMMAND).and_then(Value::as_str);
    let at = given
        .iter()
        .skip(1)
        .position(|word| word.to_str().is_some_and(|word| whole.find_subcommand(word).is_some()));
    let named = at.and_then(|at| given[at + 1].to_str());
    let command = match (named, kept) {
        (Some(named), Some(kept)) if named != kept => {
            return Err(wrong(
                path,
                format!("a configuration of {named}"),
                format!("one of {kept}"),
            ));
        }
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => return Err(wrong(path, "a command", "none")),
    };
    let rest = given.iter().enumerate().skip(1).filter(|(k, _)| at.is_none_or(|at| *k != at + 1));
    let mut line = vec![given[0].clone(), OsString::from(&command)];
    line.extend(rest.map(|(_, word)| word.clone()));
    // What the command line itself says; what it leaves open is no error yet.
    let said = whole.clone().ignore_errors(true).try_get_matches_from(&line).ok();
    let said = said.as_ref().and_then(|said| said.subcommand_matches(&command));
    let is_said = |name: &str| {
        let arg = whole.find_subcommand(&command).and_then(|c| argument(c, name));
        let arg = arg.or_else(|| argument(whole, name));
        arg.zip(said).is_some_and(|(arg, said)| from_command_line(said, arg))
    };
    let mut words = Vec::new();
    for (name, value) in asked.iter().filter(|(name, _)| *name != COMMAND && !is_said(name)) {
        words.extend(flags(name, value)?.into_iter().map(OsString::from));
    }
    line.splice(2..2, words);
    Ok(line)
}

/// A configuration as the words of a command line behind the program's name: the command, the data, the flags.
///
/// # Errors
/// [`Error::Shape`] for one that names no command, or holds what no flag can.
pub fn words(asked: &Value) -> Result<Vec<String>> {
    let none = Map::new();
    let asked = asked.as_object().unwrap_or(&none);
    let Some(command) = asked.get(COMMAND).and_then(Value::as_str) else {
        let (expected, found) = ("a command".into(), "none".into());
        return Err(Error::Shape { what: "configuration", expected, found });
    };
    let mut words = vec![command.to_owned()];
    words.extend(asked.get(DATA).map(|data| flags(DATA, data)).transpose()?.unwrap_or_default());
    for (name, value) in asked.iter().filter(|(name, _)| ![COMMAND, DATA].contains(&&name[..])) {
        words.extend(flags(name, value)?);
    }
    Ok(words)
}

/// What a parsed command line asks for, as a configuration.
pub fn asked(matches: &ArgMatches, whole: &Command) -> Value {
    let Some((name, said)) = matches.subcommand() else { return Value::Null };
    let mut asked = Map::from_iter([(COMMAND.to_owned(), name.into())]);
    let own = whole.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
    for arg in own.chain(whole.get_arguments()) {
        let name = name_of(arg);
        if OF_THE_MACHINE.contains(&name) || !from_command_line(said, arg) {
            continue;
        }
        let raw = said.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let mut values: Vec<Value> = raw.map(|word| word.to_string_lossy().into()).collect();
        let value = match arg.get_action() {
            ArgAction::SetTrue => true.into(),
            ArgAction::Append => values.into(),
            _ => values.pop().unwrap_or_default(),
        };
        asked.insert(name.to_owned(), value);
    }
    asked.into()
}

/// The long name, or that of a positional argument.
fn name_of(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(arg.get_id().as_str())
}

fn argument<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| name_of(arg) == name)
}

fn from_command_line(said: &ArgMatches, arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    let known = said.try_contains_id(id).unwrap_or(false);
    known && said.value_source(id) == Some(ValueSource::CommandLine)
}

fn value_of(flag: &str, words: &[OsString]) -> Option<OsString> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == flag {
            return words.next().cloned();
        }
        let joined = word.to_str().and_then(|word| word.strip_prefix(flag)?.strip_prefix('='));
        if let Some(value) = joined {
            return Some(value.into());
        }
    }
    None
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let refused = |source| Error::io(path, source);
    let text = fs::read_to_string(path).map_err(refused)?;
    let is_report = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let value = match is_report {
        true => serde_json::from_str::<Value>(&text)
            .map(|mut report| report["asked"].take())
            .map_err(|error| error.to_string()),
        false => toml::from_str::<Value>(&text).map_err(|error| error.to_string()),
    };
    match value {
        Ok(Value::Object(asked)) => Ok(asked),
        Ok(_) => Err(wrong(path, "a report that says what was asked", "another one")),
        Err(found) => Err(wrong(path, "a configuration in TOML, or a report", found)),
    }
}

/// One setting as words of a command line.
fn flags(name: &str, value: &Value) -> Result<Vec<String>> {
    let written = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(Error::Shape {
            what: "configuration",
            expected: format!("text or a number for {name}"),
            found: other.to_string(),
        }),
    };
    let word = |value: &Value| {
        let value = written(value)?;
        Ok(if name == DATA { value } else { format!("--{name}={value}") })
    };
    match value {
        Value::Bool(true) => Ok(vec![format!("--{name}")]),
        Value::Bool(false) => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(word).collect(),
        one => Ok(vec![word(one)?]),
    }
}

fn wrong(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::File { path: path.to_path_buf(), expected: expected.into(), found: found.into() }
}
