//! The whole configuration, for people: as the file itself, and as a page.

use super::{
    Effect, Form, KEYS, Key, Shown,
    keys::{SECTIONS, flags},
};
use clap::{Arg, Command, builder::PossibleValue};
use std::fmt::Write;

/// Comments are filled to this many columns.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Configuration of ebbline-agent.
#
# What is commented out shows the default, or an example where there is none. Flags of
# `ebbline-agent run` win over this file. After a change:
#
#   ebbline-agent config --check /etc/ebbline/agent.toml
#   systemctl reload ebbline-agent
#
# What needs a restart says so in the log.
";

/// The whole configuration file with its defaults, as TOML.
#[must_use]
pub fn toml() -> String {
    let flags = flags();
    let mut out = HEAD.to_owned();
    for (section, about) in SECTIONS {
        let _ = write!(out, "\n# {about}\n[{section}]\n");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let flag = key.flag(&flags);
            out.push('\n');
            fill(&mut out, "# ", &meaning(&flag));
            let comment = if matches!(key.shown, Shown::Set(_)) { "" } else { "#" };
            let _ = writeln!(out, "{comment}{} = {}", key.name, value(key, &flag));
        }
    }
    out
}

/// What the flag says about itself, and its choices.
fn meaning(flag: &Arg) -> String {
    let help = flag.get_long_help().or(flag.get_help()).map(ToString::to_string).unwrap_or_default();
    let choices = flag.get_possible_values();
    let choice = |choice: &PossibleValue| Some(format!("\"{}\": {}", choice.get_name(), choice.get_help()?));
    let choices: Vec<String> = choices.iter().filter_map(choice).collect();
    if choices.is_empty() { help } else { format!("{help}: {}", choices.join("; ")) }
}

/// The value to show, as TOML.
fn value(key: &Key, flag: &Arg) -> String {
    match key.shown {
        Shown::Example(text) | Shown::Set(text) => text.to_owned(),
        Shown::Default => {
            let text = default(flag);
            let bare = match key.form {
                Form::Number | Form::Switch => true,
                Form::Amount => text.parse::<u64>().is_ok(),
                Form::Text | Form::Pairs => false,
            };
            if bare { text } else { format!("{text:?}") }
        }
    }
}

fn default(flag: &Arg) -> String {
    flag.get_default_values().first().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Writes a text in lines that begin with `prefix`; paragraphs stay apart.
fn fill(out: &mut String, prefix: &str, text: &str) {
    for (at, paragraph) in text.split("\n\n").enumerate() {
        if at > 0 {
            let _ = writeln!(out, "{}", prefix.trim_end());
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && prefix.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(out, "{prefix}{line}");
                line.clear();
            }
            line.extend((!line.is_empty()).then_some(' '));
            line.push_str(word);
        }
        let _ = writeln!(out, "{prefix}{line}");
    }
}

const PAGE: &str = "\
# Configuration

<!-- Made by `ebbline-agent config --markdown > docs/configuration.md`; a test compares. -->

`ebbline-agent run` reads `/etc/ebbline/agent.toml` if it is there, or the file after `--config`; `--config none` reads none.
Flags win over the file, the file over the defaults. `ebbline-agent config` prints the whole file with its defaults, and
`ebbline-agent config --check FILE` says where one is wrong, by line and column: a key or section that is not known is an
error, and so is a value of another type.

SIGHUP (`systemctl reload ebbline-agent`) reads the file again. If it is wrong, the agent says so and goes on as before.
What can change while running does: the *scorer* or the *upload* starts again by itself, *files* are closed and *space* is
kept by the new rule. A baseline that was written again under the same name is read again, too: it is tried first, beside
the one in force, and if it cannot be used the whole reload is refused. The rest needs a *restart* and is named in one line
each.

Sizes are numbers of bytes, or strings with a unit: `\"64M\"`, `\"10G\"` (1024-based).
";

/// The page `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let flags = flags();
    let mut out = PAGE.to_owned();
    for (section, about) in SECTIONS {
        let _ = write!(out, "\n## [{section}]\n\n{about}\n\n");
        out.push_str("| key | flag | default | takes effect | meaning |\n|---|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            out.push_str(&row(key, &flags));
        }
    }
    out.push_str(&run_only(&flags));
    out
}

fn row(key: &Key, flags: &Command) -> String {
    let flag = key.flag(flags);
    let (meaning, words) = apart(&meaning(&flag).replace("\n\n", ". "));
    let default = match key.shown {
        Shown::Default => format!("`{}`", value(key, &flag)),
        Shown::Example(_) => words,
        Shown::Set(installed) => format!("{words}; installed: `{installed}`"),
    };
    let effect = match key.effect {
        Effect::Scorer => "scorer",
        Effect::Rotate => "files",
        Effect::Space => "space",
        Effect::Upload => "upload",
        Effect::Restart => "restart",
    };
    let long = flag.get_long().unwrap_or_default();
    format!("| `{}` | `--{long}` | {default} | {effect} | {meaning} |\n", key.name)
}

/// What help says in brackets about the default, apart from the rest.
fn apart(help: &str) -> (String, String) {
    let cell = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match help.split_once("[default: ").and_then(|(before, rest)| Some((before, rest.split_once(']')?))) {
        Some((before, (default, after))) => (cell(&format!("{before}{after}")), cell(default)),
        None => (cell(help), "–".to_owned()),
    }
}

/// Flags that are no keys.
fn run_only(flags: &Command) -> String {
    let keyed = |flag: &&Arg| KEYS.iter().any(|key| flag.get_id() == key.field);
    let named = flags.get_arguments().filter(|flag| !keyed(flag) && !flag.is_hide_set());
    let names: Vec<String> = named.filter_map(|flag| Some(format!("`--{}`", flag.get_long()?))).collect();
    format!("\nOnly flags, as they are about one run: {}.\n", names.join(", "))
}
