//! Finds references and stages: FROM, `COPY --from`, `RUN --mount=from`.

use std::collections::{BTreeMap, BTreeSet};

use plan::{ImageName, Role};

use crate::Problem;
use crate::tree::SourceFile;
use crate::views::suggest;

use crate::parse::dockerfile::arguments::Global;
use crate::parse::dockerfile::expansion::{ExpansionError, UndefinedVariable};
use crate::parse::dockerfile::head::{Flag, Head, Part};
use crate::parse::dockerfile::lines::{Line, Lines};
use crate::parse::dockerfile::rules::Rules;
use crate::parse::dockerfile::scope::StageBase;
use crate::parse::dockerfile::{
    ContextUse, ImageReference, Platform, SUBSTITUTIONS, Trigger, frontend, words,
};

/// At most this many problems of one file are reported: a file that is not a Dockerfile need not be
/// reported line by line.
const MAX_PROBLEMS: usize = 50;

const INSTRUCTIONS: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// The results so far.
struct Found<'a> {
    file: &'a SourceFile,
    references: Vec<ImageReference>,
    problems: Vec<Problem>,
    /// Preceding stages, by their names in lower case.
    stages: BTreeMap<String, usize>,
    /// Names of all stages, to detect a stage that is used before its definition.
    later: BTreeSet<String>,
    /// The number of stages so far, including the present one.
    count: usize,
    /// The triggers of each stage, as indices into the list of lines.
    triggers: Vec<Vec<usize>>,
    warnings: Vec<Problem>,
    /// The position up to which line ends are counted, and the number of the line there.
    counted: (usize, u32),
}

/// The references of a Dockerfile.
pub(super) struct Named {
    pub(super) references: Vec<ImageReference>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// The names of the stages, in lower case.
    pub(super) stages: BTreeSet<String>,
    /// Triggers of the last stage. They run in builds that use the image as their base.
    pub(super) triggers: Vec<Trigger>,
    /// Paths that the triggers use from a context.
    pub(super) triggered: Vec<ContextUse>,
}

/// Finds the references of a Dockerfile. Also applies the rules to each instruction, in the scope
/// of its stage.
pub(super) fn of_dockerfile(
    file: &SourceFile,
    lines: &Lines,
    mut global: Global<'_>,
    rules: &mut Rules<'_>,
) -> Named {
    let mut found = Found::new(file);
    found.later = lines.lines.iter().filter_map(stage_name).map(str::to_lowercase).collect();
    // For each stage, the index of the reference at the bottom of its chain.
    let mut bottoms: Vec<Option<usize>> = Vec::new();
    let mut early = None;
    for (number, line) in lines.lines.iter().enumerate() {
        found.check_keyword(line);
        match line.head.keyword.as_str() {
            "from" => {
                let (bottom, on) = found.from(line, lines.escape, &global, &bottoms);
                bottoms.push(bottom);
                rules.begin(line, on, &global);
                found.triggers.push(Vec::new());
                if let StageBase::Stage(stage) = on {
                    for trigger in found.triggers.get(stage).cloned().unwrap_or_default() {
                        let line = &lines.lines[trigger];
                        let Some(trigger) = &line.trigger else { continue };
                        found.instruction(line, trigger);
                        rules.instruction(line, trigger, Some(&global));
                    }
                }
            }
            "arg" if bottoms.is_empty() => {
                rules.arg(line, line.head.behind, None);
                if let Err(bad) = global.declare(line.behind(), lines.escape) {
                    found.bad(line, line.head.behind, "ARG", &bad, &global);
                }
            }
            known if bottoms.is_empty() && INSTRUCTIONS.contains(&known) => {
                early.get_or_insert(line);
            }
            "onbuild" => {
                rules.instruction(line, &line.head, Some(&global));
                found.trigger(line);
                found.triggers[bottoms.len() - 1].push(number);
            }
            _ if bottoms.is_empty() => {}
            _ => {
                found.instruction(line, &line.head);
                rules.instruction(line, &line.head, Some(&global));
            }
        }
    }
    if !bottoms.is_empty() {
        if let Some(line) = early {
            let message = format!("{} before the first FROM", line.head.keyword.to_ascii_uppercase());
            let help = "a Dockerfile begins with FROM; only ARG may stand before it";
            found.problem(line, 0, "no-from", message, help);
        }
    } else if found.problems.is_empty() {
        // Not reported if there are other problems: a misspelled instruction may have been meant as
        // FROM.
        found.problems.push(
            Problem::in_file("no-from", &file.path, "the Dockerfile has no FROM")
                .line(1)
                .help("begin it with `FROM sci/{target}:{version}` or another image"),
        );
    }
    if let Some(base) = bottoms.last().copied().flatten() {
        found.references[base].role = Role::Base;
    }
    let last = found.triggers.pop().unwrap_or_default();
    let triggers = last.iter().map(|line| trigger(&lines.lines[*line])).collect();
    let triggered = last.iter().flat_map(|line| rules.triggered(&lines.lines[*line])).collect();
    // A trigger precedes the stages that run it, and several stages may run it.
    found.references.sort_by_key(|reference| reference.span.start);
    found.references.dedup_by_key(|reference| reference.span);
    Named {
        references: found.references,
        problems: found.problems,
        warnings: found.warnings,
        stages: found.stages.into_keys().collect(),
        triggers,
        triggered,
    }
}

/// Finds the references of a fragment, which has no stages. A trigger in a fragment runs in builds
/// that use the product as their base.
pub(super) fn of_fragment(
    file: &SourceFile,
    lines: &Lines,
    rules: &mut Rules<'_>,
    global: &Global<'_>,
) -> Named {
    let mut found = Found::new(file);
    for line in &lines.lines {
        found.check_keyword(line);
        if line.head.is("from") {
            found.problem(
                line,
                0,
                "fragment-from",
                "a compat fragment has a FROM".to_owned(),
                "remove it: the fragment is put on top of a science image",
            );
            continue;
        }
        rules.instruction(line, &line.head, Some(global));
        if line.trigger.is_some() {
            found.trigger(line);
        } else {
            found.instruction(line, &line.head);
        }
    }
    Named {
        references: found.references,
        problems: found.problems,
        warnings: found.warnings,
        stages: BTreeSet::new(),
        triggers: Vec::new(),
        triggered: Vec::new(),
    }
}

/// Returns the trigger of a line with the stages or images that it names.
fn trigger(line: &Line) -> Trigger {
    let head = line.trigger.as_ref().unwrap_or(&line.head);
    let named = head.flags.iter().filter_map(|flag| match (head.keyword.as_str(), flag.name()) {
        ("copy", "from") => flag.value().map(|value| value.text.to_owned()),
        ("run", "mount") => {
            let fields = flag.fields();
            let from = fields.into_iter().find(|(key, _)| key == "from")?;
            from.1.map(|value| value.text.to_owned())
        }
        _ => None,
    });
    let is_name = |name: &String| !name.is_empty() && !name.contains('$') && name.parse::<i64>().is_err();
    Trigger {
        text: line.behind().trim().to_owned(),
        line: line.number,
        names: named.filter(is_name).collect(),
    }
}

/// Returns the name after `AS`.
fn stage_name(line: &Line) -> Option<&str> {
    if !line.head.is("from") {
        return None;
    }
    match from_words(line).as_slice() {
        [_, (keyword, _), (name, _)] if keyword.eq_ignore_ascii_case("as") => Some(*name),
        _ => None,
    }
}

/// Returns the platform of `FROM --platform=`.
fn platform(line: &Line, escape: char, global: &Global<'_>) -> Platform {
    let Some(flag) = line.head.flags.iter().find(|flag| flag.name() == "platform") else {
        return Platform::Target;
    };
    let value = flag.value().and_then(|value| global.expand(value.text, escape).ok());
    match value {
        Some(value) if value.lack.is_none() && !value.text.is_empty() => Platform::Named(value.text),
        _ => Platform::Unknown,
    }
}

/// Returns the words after the flags of a FROM, with their positions.
fn from_words(line: &Line) -> Vec<(&str, usize)> {
    let start = line.head.rest;
    let mut words = Vec::new();
    let mut at = start;
    for word in line.text[start..].split(words::is_blank) {
        if !word.is_empty() {
            words.push((word, at));
        }
        at += word.len() + 1;
    }
    words
}

impl<'a> Found<'a> {
    fn new(file: &'a SourceFile) -> Self {
        Self {
            file,
            references: Vec::new(),
            problems: Vec::new(),
            stages: BTreeMap::new(),
            later: BTreeSet::new(),
            count: 0,
            triggers: Vec::new(),
            warnings: Vec::new(),
            counted: (0, 1),
        }
    }

    /// Parses a FROM. Returns the index of the reference at the bottom of the stage's chain, and
    /// the base of the stage.
    fn from(
        &mut self,
        line: &Line,
        escape: char,
        global: &Global<'_>,
        bottoms: &[Option<usize>],
    ) -> (Option<usize>, StageBase) {
        let words = from_words(line);
        let ((word, at), stage) = match words.as_slice() {
            [image] => (*image, None),
            [image, (keyword, _), name] if keyword.eq_ignore_ascii_case("as") => (*image, Some(*name)),
            _ => {
                let help = "write `FROM image` or `FROM image AS name`";
                self.problem(line, 0, "from", "FROM takes one image, and AS with one name".to_owned(), help);
                self.count += 1;
                return (None, StageBase::Image);
            }
        };
        let place = at..at + word.len();
        let before = self.references.len();
        let stands = match global.expand(word, escape) {
            Err(bad) => {
                self.bad(line, at, "FROM", &bad, global);
                (None, StageBase::Image)
            }
            Ok(expanded) => {
                let lower = expanded.text.to_lowercase();
                match self.stages.get(&lower).copied() {
                    Some(stage) => {
                        if lower != expanded.text {
                            let message =
                                format!("FROM {}: builders keep stages in lower case", expanded.text);
                            let help = format!("write it in lower case: {lower}");
                            self.problem(line, at, "stage", message, help);
                        }
                        (bottoms.get(stage).copied().flatten(), StageBase::Stage(stage))
                    }
                    None => {
                        let on =
                            if expanded.text == "scratch" { StageBase::Nothing } else { StageBase::Image };
                        (self.base(line, place, expanded.text, expanded.lack.as_ref(), global), on)
                    }
                }
            }
        };
        if let Some(own) = self.references.get_mut(before) {
            own.platform = platform(line, escape, global);
        }
        if let Some((name, at)) = stage {
            let lower = name.to_lowercase();
            if is_stage_name(&lower) {
                self.stages.insert(lower, self.count);
            } else {
                let help = "a letter first, then letters, digits, '-', '_' and '.'";
                self.problem(line, at, "stage-name", format!("{name:?} is not a name for a stage"), help);
            }
        }
        self.count += 1;
        stands
    }

    /// Adds the image of a FROM. A variable without a value is empty there, as in builders.
    fn base(
        &mut self,
        line: &Line,
        place: std::ops::Range<usize>,
        text: String,
        lack: Option<&UndefinedVariable>,
        global: &Global<'_>,
    ) -> Option<usize> {
        let Some(lack) = lack else { return self.image(line, place, Role::Stage, text) };
        let missing = lack.from.as_ref().unwrap_or(&lack.name);
        let why = match &lack.from {
            None => format!("FROM: {} has no value", lack.name),
            Some(from) => {
                format!("FROM: {} has no value, since it refers to {from}, which has none", lack.name)
            }
        };
        if text != "scratch" && ImageName::parse(&text).is_err() {
            self.problem(line, place.start, "unknown-reference", why, global.help(missing));
            return None;
        }
        if !global.is_declared(missing) && self.warnings.len() < MAX_PROBLEMS {
            let message = format!("{why}, which gives {text}");
            let problem = Problem::in_file("unset-argument", &self.file.path, message);
            let problem = problem.at(&self.file.text, line.offset(place.start));
            self.warnings.push(problem.help(global.help(missing)));
        }
        self.image(line, place, Role::Stage, text)
    }

    /// Checks a trigger where it is written. Its names are resolved where it runs.
    fn trigger(&mut self, line: &Line) {
        let Some(trigger) = &line.trigger else { return };
        if matches!(trigger.keyword.as_str(), "onbuild" | "from" | "maintainer") {
            let message = format!("ONBUILD {} is not allowed", trigger.keyword.to_ascii_uppercase());
            self.problem(line, line.head.behind, "onbuild", message, "use another instruction as a trigger");
        }
    }

    /// Checks any other instruction: the line itself, or the trigger in it.
    fn instruction(&mut self, line: &Line, head: &Head) {
        for flag in &head.flags {
            match (head.keyword.as_str(), flag.name()) {
                ("copy", "from") => {
                    if let Some(value) = flag.value() {
                        self.copy_from(line, &value);
                    }
                }
                ("run", "mount") => self.mount(line, flag),
                _ => {}
            }
        }
    }

    fn copy_from(&mut self, line: &Line, value: &Part<'_>) {
        let Ok(stage) = value.text.parse::<i64>() else {
            return self.named(line, value, Role::Copy, "COPY --from");
        };
        let known = usize::try_from(stage).is_ok_and(|stage| stage + 1 < self.count);
        if !known {
            let message = format!("COPY --from={stage}: there is no stage {stage} above this one");
            self.problem(line, value.start, "stage", message, "give the stage a name, and name it");
        }
    }

    fn mount(&mut self, line: &Line, flag: &Flag) {
        let fields = flag.fields();
        let Some((_, value)) = fields.iter().find(|(key, _)| key.trim_matches(['"', ' ']) == "from") else {
            return;
        };
        let Some(value) = value else { return };
        if flag.value().is_some_and(|whole| whole.text.contains('"')) {
            let message = "a mount with a quote in its value and an image in `from`".to_owned();
            self.problem(line, value.start, "quoted", message, "write `from=` without quotes");
        } else if value.text.parse::<i64>().is_ok() {
            let message = format!("a mount does not accept a stage number ({})", value.text);
            self.problem(line, value.start, "stage", message, "give the stage a name, and name it");
        } else {
            self.named(line, value, Role::Mount, "RUN --mount from");
        }
    }

    /// Resolves the name in a flag to a stage, or adds it as an image.
    fn named(&mut self, line: &Line, value: &Part<'_>, role: Role, what: &str) {
        let lower = value.text.to_lowercase();
        if value.text.is_empty() || self.stages.get(&lower).is_some_and(|stage| stage + 1 < self.count) {
            return;
        }
        if value.text.contains('$') {
            let help =
                "docker does not expand variables here: define a stage with `FROM … AS name`, and name that";
            self.problem(line, value.start, "variable", format!("{what} with a variable"), help);
        } else if self.later.contains(&lower) {
            let message = format!("{what}: the stage {:?} is not above this one", value.text);
            let help = "move the stage up: some builders would use the stage here, others an image";
            self.problem(line, value.start, "stage", message, help);
        } else if let Some(range) = value.range.clone() {
            self.image(line, range, role, value.text.to_owned());
        } else {
            let message = format!("{what}: quotes or escapes within the name of the image");
            self.problem(line, value.start, "quoted", message, "write the name as it is");
        }
    }

    fn image(
        &mut self,
        line: &Line,
        range: std::ops::Range<usize>,
        role: Role,
        text: String,
    ) -> Option<usize> {
        let name = if text == "scratch" { Ok(()) } else { ImageName::parse(&text).map(|_| ()) };
        if let Err(error) = name {
            let help = "a reference has the form registry/path/name:tag, in lower case up to the tag";
            self.problem(line, range.start, "reference", error.to_string(), help);
            return None;
        }
        let span = line.span(range);
        // Counts from the previous reference, since one line can have many thousands. The line of a
        // trigger can precede that reference.
        let (start, number) = if span.start < self.counted.0 { (0, 1) } else { self.counted };
        let above = self.file.text[start..span.start].bytes().filter(|byte| *byte == b'\n').count();
        let number = number.saturating_add(u32::try_from(above).unwrap_or(u32::MAX));
        self.counted = (span.start, number);
        self.references.push(ImageReference { role, span, text, line: number, platform: Platform::Target });
        Some(self.references.len() - 1)
    }

    /// Reports words that are not instructions, and arguments that would choose a frontend.
    fn check_keyword(&mut self, line: &Line) {
        let head = line.trigger.as_ref().unwrap_or(&line.head);
        if head.is("arg") && frontend::is_chosen(&line.text[head.behind..]) {
            let message = "ARG BUILDKIT_SYNTAX with a value: it steers the builder itself".to_owned();
            self.problem(line, 0, "buildkit-argument", message, "remove it");
        }
        let keyword = line.head.keyword.as_str();
        if !INSTRUCTIONS.contains(&keyword) && self.problems.len() < MAX_PROBLEMS {
            let help = match suggest::closest(keyword, INSTRUCTIONS.into_iter()) {
                Some(known) => format!("did you mean {}?", known.to_ascii_uppercase()),
                None => "a line begins with an instruction, or continues one".to_owned(),
            };
            self.problem(line, 0, "instruction", format!("{:?} is not an instruction", line.word()), help);
        }
    }

    fn bad(&mut self, line: &Line, at: usize, what: &str, bad: &ExpansionError, global: &Global<'_>) {
        let (message, help) = match bad {
            ExpansionError::Required(name) => (format!("{what}: {name} has no value"), global.help(name)),
            ExpansionError::Syntax(why) => (format!("{what}: {why}"), SUBSTITUTIONS.to_owned()),
        };
        self.problem(line, at, "unknown-reference", message, help);
    }

    fn problem(
        &mut self,
        line: &Line,
        at: usize,
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let problem = Problem::in_file(code, &self.file.path, message);
        self.problems.push(problem.at(&self.file.text, line.offset(at)).help(help));
    }
}

fn is_stage_name(lower: &str) -> bool {
    lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}
