//! Checks each instruction for errors that every builder rejects (BuildKit's `instructions.Parse`,
//! and the steps right after it), so that they are reported before a build. Also collects the paths
//! that instructions use from the context.
//!
//! Does not know which files exist. References and stages are checked elsewhere.

mod flags;
mod mounts;
mod ports;
mod signals;

use std::borrow::Cow;

use crate::Problem;
use crate::tree::SourceFile;
use crate::views::suggest;

use crate::parse::dockerfile::arguments::Global;
use crate::parse::dockerfile::expansion::{Expanded, ExpansionError, Quotes};
use crate::parse::dockerfile::head::Head;
use crate::parse::dockerfile::lines::{self, Line};
use crate::parse::dockerfile::scope::{Scopes, StageBase};
use crate::parse::dockerfile::{ContextUse, Source, words};

/// At most this many problems of one file are reported.
const MAX_PROBLEMS: usize = 50;

/// The results so far.
pub(in crate::parse::dockerfile) struct Rules<'a> {
    pub(in crate::parse::dockerfile) file: &'a SourceFile,
    escape: char,
    pub(in crate::parse::dockerfile) scopes: Scopes,
    pub(in crate::parse::dockerfile) defects: Vec<Problem>,
    pub(in crate::parse::dockerfile) warnings: Vec<Problem>,
    pub(in crate::parse::dockerfile) taken: Vec<ContextUse>,
}

/// A word of an instruction, before quotes and variables are expanded.
struct Word<'l> {
    text: Cow<'l, str>,
    /// Its range in the line.
    range: std::ops::Range<usize>,
}

/// The result of parsing arguments as a JSON list.
enum Json {
    /// Not a JSON list: the text is split into words or passed to a shell.
    None,
    /// A list with members that are not strings, which all builders reject.
    Others,
    Strings(Vec<String>),
}

impl<'a> Rules<'a> {
    pub(in crate::parse::dockerfile) fn new(file: &'a SourceFile, escape: char) -> Self {
        Self {
            file,
            escape,
            scopes: Scopes::new(),
            defects: Vec::new(),
            warnings: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Begins a stage.
    pub(in crate::parse::dockerfile) fn begin(&mut self, line: &Line, on: StageBase, global: &Global<'_>) {
        flags::check(self, line, &line.head);
        let platform = line.head.flags.iter().find(|flag| flag.name() == "platform");
        if let Some(flag) = platform
            && let Some(value) = flag.value()
            && let Ok(platform) = global.expand(value.text, self.escape)
            && !is_platform(&platform.text)
        {
            let message = format!("{:?} is not a platform", platform.text);
            self.defect(line, flag.range(), "flag", message, "write os/arch or os/arch/variant");
        }
        self.scopes.begin(on);
    }

    /// Checks any other instruction: the line itself, or the trigger in it.
    pub(in crate::parse::dockerfile) fn instruction(
        &mut self,
        line: &Line,
        head: &Head,
        global: Option<&Global<'_>>,
    ) {
        flags::check(self, line, head);
        let rest = head.rest;
        match head.keyword.as_str() {
            keyword @ ("env" | "label") => self.pairs(line, keyword, rest),
            "arg" => self.arg(line, head.behind, global),
            "copy" => self.copy(line, "COPY", head),
            "add" => self.copy(line, "ADD", head),
            "run" => {
                if let Json::Strings(words) = self.json(line, rest)
                    && words.is_empty()
                {
                    self.arguments(line, rest, "RUN [] runs nothing", "write the command");
                }
            }
            "cmd" | "entrypoint" => {
                self.json(line, rest);
            }
            "healthcheck" => self.healthcheck(line, rest),
            "shell" => self.shell(line, rest),
            "volume" => self.volume(line, rest),
            "expose" => self.expose(line, rest),
            keyword @ ("user" | "workdir" | "maintainer" | "stopsignal") => self.single(line, keyword, rest),
            "onbuild" if rest >= line.text.trim_end().len() => {
                self.arguments(line, rest, "ONBUILD takes an instruction", "add the instruction after it");
            }
            _ => {}
        }
    }

    /// Returns the paths that a trigger uses from the context of the build that runs it, as far as
    /// they are certain. Does not check the form of the trigger: builders check it where it runs.
    pub(in crate::parse::dockerfile) fn triggered(&self, line: &Line) -> Vec<ContextUse> {
        let mut rules = Rules::new(self.file, self.escape);
        if let Some(trigger) = &line.trigger {
            rules.instruction(line, trigger, None);
        }
        rules.taken
    }

    /// Checks `ENV` and `LABEL`: `key=value …`, or the legacy form `key value`.
    fn pairs(&mut self, line: &Line, keyword: &str, rest: usize) {
        let upper = || keyword.to_ascii_uppercase();
        let help = || format!("write `{} name=\"value\"`", upper());
        let text = line.text[rest..].trim_end();
        let words = words::split(text, self.escape);
        let Some(first) = words.first() else {
            return self.arguments(line, rest, &format!("{} sets nothing", upper()), &help());
        };
        let mut set = Vec::new();
        if first.contains('=') {
            for word in words {
                let at = rest + (word.as_ptr().addr() - text.as_ptr().addr());
                let range = at..at + word.len();
                let Some((key, value)) = word.split_once('=') else {
                    let upper = upper();
                    let help = if word.starts_with('#') {
                        "a comment has a line of its own".to_owned()
                    } else {
                        format!("write name=value; a value with blanks stands in quotes: {upper} name=\"…\"")
                    };
                    let message = format!("{upper}: {word:?} has no '='");
                    return self.defect(line, range, "arguments", message, help);
                };
                if key.is_empty() {
                    let message = format!("{}: a name is missing before the '='", upper());
                    return self.defect(line, range, "arguments", message, help());
                }
                set.push((key, value, range));
            }
        } else {
            let Some((key, value)) = text.split_once(words::is_blank) else {
                let message = format!("{} {text} has no value", upper());
                return self.arguments(line, rest, &message, &help());
            };
            let value = value.trim_start_matches(words::is_blank);
            set.push((key, value, rest..rest + text.len()));
        }
        let mut known = Vec::new();
        for (key, value, range) in set {
            let key = self.expand(line, key, range.clone());
            let value = self.expand(line, value, range);
            if let (Some(key), Some(value)) = (key, value) {
                known.push((key.text, value));
            }
        }
        if keyword == "env" {
            for (key, value) in known {
                self.scopes.set(key, value);
            }
        }
    }

    /// Checks `ARG`. After a FROM, also declares the variable.
    pub(in crate::parse::dockerfile) fn arg(
        &mut self,
        line: &Line,
        behind: usize,
        global: Option<&Global<'_>>,
    ) {
        let text = line.text[behind..].trim_end();
        let words = words::split(text, self.escape);
        if words.is_empty() {
            self.arguments(line, behind, "ARG declares nothing", "write `ARG name` or `ARG name=default`");
        }
        for word in words {
            let at = behind + (word.as_ptr().addr() - text.as_ptr().addr());
            let range = at..at + word.len();
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word, None),
            };
            if name.is_empty() {
                let message = "ARG: a name is missing before the '='".to_owned();
                self.defect(line, range, "arguments", message, "write `ARG name=default`, without blanks");
                continue;
            }
            let Some(global) = global else { continue };
            let default = match default {
                Some(default) => match self.expand(line, default, range) {
                    Some(default) => Some(default),
                    None => continue,
                },
                None => None,
            };
            self.scopes.declare(name.to_owned(), default, Some(global));
        }
    }

    fn copy(&mut self, line: &Line, keyword: &'static str, head: &Head) {
        let Some(mut words) = self.list(line, head.rest) else { return };
        let destination = words.pop();
        let (Some(destination), false) = (destination, words.is_empty()) else {
            let message = format!("{keyword} takes at least one source and a destination");
            let help = format!("write `{keyword} source destination`");
            return self.arguments(line, head.rest, &message, &help);
        };
        self.expand(line, &destination.text, destination.range);
        let flag = |name: &str| {
            let flag = head.flags.iter().find(|flag| flag.name() == name)?;
            flag.value().filter(|value| !value.text.is_empty()).map(|value| value.text)
        };
        let checksum = head.flags.iter().find(|flag| flag.name() == "checksum" && keyword == "ADD");
        let is_of_context = flag("from").is_none();
        let heredocs = if line.text.contains("<<") { words::heredocs(&line.text) } else { Vec::new() };
        let mut taken = ContextUse { keyword, sources: Vec::new(), complete: true, literal: false };
        for Word { text, range } in words {
            if heredocs.iter().any(|heredoc| range.contains(&heredoc.at)) {
                taken.complete = false;
                continue;
            }
            let Some(source) = self.expand(line, &text, range.clone()) else {
                taken.complete = false;
                continue;
            };
            if is_remote(&source.text) {
                taken.complete = false;
                if keyword == "COPY" {
                    let message = format!("COPY does not accept URLs: {}", source.text);
                    self.defect(line, range, "arguments", message, "use ADD, or fetch it with RUN");
                }
            } else if source.sure && is_of_context {
                if let Some(flag) = checksum {
                    let message = format!("--checksum is for what is fetched, and {} is a file", source.text);
                    self.defect(line, flag.range(), "flag", message, "remove the flag");
                }
                taken.sources.push(self.source(line, &source.text, range));
            } else {
                taken.complete = false;
            }
        }
        if is_of_context {
            self.taken.push(taken);
        }
        for body in &line.bodies {
            self.heredoc(body.clone());
        }
    }

    pub(in crate::parse::dockerfile) fn source(
        &self,
        line: &Line,
        text: &str,
        range: std::ops::Range<usize>,
    ) -> Source {
        let span = line.span(range);
        Source { path: lines::clean(text), typed: text.to_owned(), span }
    }

    /// Checks the text of a heredoc that COPY or ADD writes. Builders expand variables in it and
    /// keep its quotes.
    fn heredoc(&mut self, body: std::ops::Range<usize>) {
        let Some(text) = self.file.text.get(body.clone()).filter(|text| text.contains("${")) else { return };
        if let Err(ExpansionError::Syntax(why)) = self.scopes.expand(text, self.escape, Quotes::Plain) {
            let help = "quote the name of the heredoc (<<'EOF') to leave its text as it is";
            let at = body.start + text.find("${").unwrap_or(0);
            let problem = Problem::in_file("substitution", &self.file.path, why);
            self.push(problem.at(&self.file.text, at).help(help));
        }
    }

    fn healthcheck(&mut self, line: &Line, rest: usize) {
        let text = line.text[rest..].trim_end();
        let (kind, command) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let command = command.trim_start();
        let help = "write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`";
        match kind.to_ascii_uppercase().as_str() {
            "" => self.arguments(line, rest, "HEALTHCHECK checks nothing", help),
            "NONE" if !command.is_empty() => {
                self.arguments(line, rest, "HEALTHCHECK NONE accepts no arguments", help);
            }
            "NONE" => {}
            "CMD" => {
                let at = rest + (text.len() - command.len());
                let is_empty = match self.json(line, at) {
                    Json::Strings(words) => words.is_empty(),
                    Json::None | Json::Others => command.is_empty(),
                };
                if is_empty {
                    self.arguments(line, rest, "HEALTHCHECK CMD has no command", help);
                }
            }
            _ => self.arguments(line, rest, &format!("HEALTHCHECK takes no {kind:?}"), help),
        }
    }

    fn shell(&mut self, line: &Line, rest: usize) {
        if !matches!(self.json(line, rest), Json::Strings(words) if !words.is_empty()) {
            let help = "write it as JSON: `SHELL [\"/bin/bash\", \"-c\"]`";
            self.arguments(line, rest, "SHELL takes a list of strings in brackets", help);
        }
    }

    fn volume(&mut self, line: &Line, rest: usize) {
        let Some(words) = self.list(line, rest) else { return };
        if words.is_empty() {
            self.arguments(line, rest, "VOLUME names no directory", "write `VOLUME /directory`");
        }
        for Word { text, range } in words {
            let Some(path) = self.expand(line, &text, range.clone()) else { continue };
            if path.sure && path.text.trim().is_empty() {
                let message = "VOLUME with an empty name".to_owned();
                self.defect(line, range, "arguments", message, "name a directory");
            }
        }
    }

    fn expose(&mut self, line: &Line, rest: usize) {
        let words = split(line, rest);
        if words.is_empty() {
            self.arguments(line, rest, "EXPOSE names no port", "write `EXPOSE 8888` or `EXPOSE 53/udp`");
        }
        for Word { text, range } in words {
            let Some(expanded) = self.expand(line, &text, range.clone()) else { continue };
            let bad = expanded.text.split_whitespace().find(|port| !ports::is_port(port));
            if let Some(bad) = bad.filter(|_| expanded.sure) {
                let help = if bad.starts_with('#') {
                    "a comment has a line of its own"
                } else {
                    "a port is a number up to 65535, or a range of them, followed by /tcp, /udp or /sctp"
                };
                self.defect(line, range, "arguments", format!("EXPOSE: {bad:?} is not a port"), help);
            }
        }
    }

    /// Checks instructions whose whole text is one argument.
    fn single(&mut self, line: &Line, keyword: &str, rest: usize) {
        let upper = keyword.to_ascii_uppercase();
        let text = line.text[rest..].trim_end();
        if text.is_empty() {
            let message = format!("{upper} has no argument");
            return self.arguments(line, rest, &message, &format!("add it after {upper}"));
        }
        if keyword == "maintainer" {
            return;
        }
        let range = rest..rest + text.len();
        let Some(expanded) = self.expand(line, text, range.clone()) else { return };
        match keyword {
            "workdir" => self.scopes.now.has_workdir = true,
            "stopsignal" if expanded.sure && !signals::is_signal(&expanded.text) => {
                let message = format!("STOPSIGNAL: {:?} is not a signal", expanded.text);
                self.defect(line, range, "arguments", message, "write a name such as SIGTERM, or a number");
            }
            _ => {}
        }
    }

    /// Reads JSON or words. Returns `None` for text that every builder rejects, and reports it.
    fn list<'l>(&mut self, line: &'l Line, rest: usize) -> Option<Vec<Word<'l>>> {
        match self.json(line, rest) {
            Json::None => Some(split(line, rest)),
            Json::Others => None,
            Json::Strings(strings) => {
                let end = line.text.trim_end().len();
                Some(strings.into_iter().map(|text| Word { text: text.into(), range: rest..end }).collect())
            }
        }
    }

    fn json(&mut self, line: &Line, rest: usize) -> Json {
        let text = line.text[rest..].trim_end();
        if !text.starts_with('[') {
            return Json::None;
        }
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Vec<serde_json::Value>>();
        let Some(Ok(values)) = values.next() else { return Json::None };
        let strings: Option<Vec<String>> =
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect();
        if let Some(strings) = strings {
            return Json::Strings(strings);
        }
        let message = "a list in brackets that holds something else than strings";
        self.arguments(line, rest, message, "put each of its members into double quotes");
        Json::Others
    }

    /// Expands variables. Returns `None` if no builder can, and reports it.
    pub(in crate::parse::dockerfile) fn expand(
        &mut self,
        line: &Line,
        text: &str,
        range: std::ops::Range<usize>,
    ) -> Option<Expanded> {
        match self.scopes.expand(text, self.escape, Quotes::Group) {
            Ok(expanded) => Some(expanded),
            Err(ExpansionError::Required(name)) => {
                let help = format!("set it with ARG or ENV before this line, or write ${{{name}:-default}}");
                self.defect(line, range, "substitution", format!("{name} has no value here"), help);
                None
            }
            Err(ExpansionError::Syntax(why)) => {
                self.defect(line, range, "substitution", why, crate::parse::dockerfile::SUBSTITUTIONS);
                None
            }
        }
    }

    pub(in crate::parse::dockerfile) fn arguments(
        &mut self,
        line: &Line,
        rest: usize,
        message: &str,
        help: &str,
    ) {
        let end = line.text.trim_end().len();
        let start = if rest < end { rest } else { line.text.len() - line.text.trim_start().len() };
        self.defect(line, start..end, "arguments", message.to_owned(), help);
    }

    pub(in crate::parse::dockerfile) fn defect(
        &mut self,
        line: &Line,
        range: std::ops::Range<usize>,
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) {
        if self.defects.len() < MAX_PROBLEMS {
            let span = line.span(range);
            let problem = Problem::in_file(code, &self.file.path, message);
            self.defects.push(problem.span(&self.file.text, span.start..span.end).help(help));
        }
    }

    pub(in crate::parse::dockerfile) fn push(&mut self, problem: Problem) {
        if self.defects.len() < MAX_PROBLEMS {
            self.defects.push(problem);
        }
    }

    pub(in crate::parse::dockerfile) fn warn(
        &mut self,
        line: &Line,
        range: std::ops::Range<usize>,
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) {
        if self.warnings.len() < MAX_PROBLEMS {
            let span = line.span(range);
            let problem = Problem::in_file(code, &self.file.path, message);
            self.warnings.push(problem.span(&self.file.text, span.start..span.end).help(help));
        }
    }
}

/// Returns help that suggests a known word for an unknown one.
pub(in crate::parse::dockerfile) fn did_you_mean(word: &str, known: &[&str]) -> String {
    match suggest::closest(word, known.iter().copied()) {
        Some(closest) => format!("did you mean {closest}?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known are {}", known.join(", ")),
    }
}

fn split(line: &Line, rest: usize) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = rest;
    for word in line.text[rest..].split(words::is_blank) {
        if !word.is_empty() {
            words.push(Word { text: Cow::Borrowed(word), range: at..at + word.len() });
        }
        at += word.len() + 1;
    }
    words
}

/// Whether a source is one that ADD downloads and COPY rejects.
fn is_remote(source: &str) -> bool {
    let has_scheme =
        ["http://", "https://", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme));
    let is_scp = || {
        let Some((user, rest)) = source.split_once('@') else { return false };
        let is_word =
            |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        is_word(user) && rest.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'))
    };
    has_scheme || is_scp()
}

fn is_platform(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b'(' | b')'))
    };
    text.is_empty() || text.split('/').count() <= 3 && text.split('/').all(is_part)
}
