//! Maps an engine's build error to the instruction that failed and the file that contains it.
//!
//! Pure. Engines name a step by its number and text, or by a line of the Dockerfile that they
//! received; the plan lists the instructions and their origins. An ambiguous step is not mapped.

use plan::{Build, Origin, Role, Target};

use crate::run::result::FailedAt;

/// Maximum number of lines of an instruction that are reported: a heredoc can be a whole program.
const LONGEST: usize = 12;

/// How an engine numbers steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepNumbering {
    /// BuildKit: per stage, the instructions that create a layer, beginning with its base image.
    Layers,
    /// The classic builder: all instructions of the file. podman: all instructions of each stage.
    Instructions,
}

/// Returns the instruction at which a build failed, if it is unambiguous. `step` is the step that
/// the engine reports as failed, or the last one that started: `[stage 2/5] RUN make`.
pub(crate) fn place(
    build: &Build,
    numbers: StepNumbering,
    step: Option<&str>,
    message: &str,
) -> Option<FailedAt> {
    let said = || {
        let (_, behind) = message.split_once("building at STEP \"")?;
        by_text(build, behind.split_once("\": ").map_or(behind, |(text, _)| text))
    };
    let origin =
        by_line(build, message).or_else(said).or_else(|| by_step(build, numbers, &Step::read(step?)?))?;
    Some(FailedAt {
        file: origin.written.as_ref().map(|written| written.file.clone()),
        line: origin.written.as_ref().map_or(origin.first, |written| written.line),
        instruction: shortened(&build.instruction(origin)),
    })
}

fn shortened(instruction: &str) -> String {
    let lines: Vec<&str> = instruction.lines().collect();
    match lines.get(..LONGEST) {
        Some(first) if lines.len() > LONGEST => format!("{}\n…", first.join("\n")),
        _ => instruction.to_owned(),
    }
}

/// Maps `dockerfile parse error line 3: …` or `… on line 3: …`, a line of the Dockerfile that was
/// sent. It is the same line in the plan's Dockerfile, unless a replaced name spanned several
/// lines.
fn by_line<'a>(build: &'a Build, message: &str) -> Option<&'a Origin> {
    let (_, behind) = message.split_once("parse error ")?;
    let (number, _) = behind.trim_start_matches("on ").strip_prefix("line ")?.split_once(':')?;
    let moved = build.references.iter().any(|reference| {
        build.dockerfile.get(reference.span.start..reference.span.end).is_none_or(|name| name.contains('\n'))
    });
    if moved { None } else { build.origin_at(number.trim().parse().ok()?) }
}

/// A step as engines name it.
#[derive(Debug, PartialEq, Eq)]
struct Step<'a> {
    stage: Option<Stage<'a>>,
    number: usize,
    of: usize,
    text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage<'a> {
    /// Its name; `stage-1`, counted from 0, for a stage without a name.
    Named(&'a str),
    /// Counted from 1.
    Numbered(usize),
}

impl<'a> Step<'a> {
    /// Parses `[2/5] RUN x`, `[build 2/5] RUN x`, `[linux/arm64 build 2/5] RUN x` and podman's
    /// `[1/2 2/5] RUN x`.
    fn read(name: &'a str) -> Option<Self> {
        let fraction = |word: &str| {
            let (number, of) = word.split_once('/')?;
            Some((number.parse::<usize>().ok()?, of.parse::<usize>().ok()?))
        };
        let (inside, text) = name.strip_prefix('[')?.split_once(']')?;
        let mut words = inside.split_whitespace().rev();
        let (number, of) = fraction(words.next()?)?;
        let stage = words.next().and_then(|word| match fraction(word) {
            Some((number, _)) => Some(Stage::Numbered(number)),
            None if word.contains('/') => None,
            None => Some(Stage::Named(word)),
        });
        Some(Self { stage, number, of, text: text.trim_start() })
    }

    fn keyword(&self) -> &str {
        self.text.split_whitespace().next().unwrap_or_default()
    }
}

fn by_step<'a>(build: &'a Build, numbers: StepNumbering, step: &Step<'_>) -> Option<&'a Origin> {
    let stages = stages(build);
    let is_meant = |index: usize, stage: &[&Origin]| match step.stage {
        None => true,
        Some(Stage::Numbered(number)) => index + 1 == number,
        Some(Stage::Named(name)) => {
            name == format!("stage-{index}")
                || stage_name(build, stage).is_some_and(|own| own.eq_ignore_ascii_case(name))
        }
    };
    let meant = stages.iter().enumerate().filter(|(index, stage)| is_meant(*index, stage));
    let numbered: Vec<&Origin> = match numbers {
        StepNumbering::Layers => meant
            .map(|(_, stage)| stage.iter().copied().filter(|origin| makes_layer(build, origin)).collect())
            .filter(|layers: &Vec<&Origin>| layers.len() == step.of)
            .filter_map(|layers| layers.get(step.number.checked_sub(1)?).copied())
            .collect(),
        StepNumbering::Instructions => {
            let of_stages = meant.filter_map(|(_, stage)| stage.get(step.number.checked_sub(1)?).copied());
            let of_file = step.number.checked_sub(1).and_then(|at| build.origins.get(at));
            let mut found: Vec<&Origin> = of_file.into_iter().chain(of_stages).collect();
            found.retain(|origin| is_text(build, origin, step.text));
            found.sort_by_key(|origin| origin.first);
            found.dedup();
            found
        }
    };
    let matches = |origin: &&&Origin| origin.instruction.eq_ignore_ascii_case(step.keyword());
    let mut found = numbered.iter().filter(matches);
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one),
        _ => by_text(build, step.text),
    }
}

/// The only instruction with this text, ignoring blanks and continuations.
fn by_text<'a>(build: &'a Build, text: &str) -> Option<&'a Origin> {
    let mut found = build.origins.iter().filter(|origin| is_text(build, origin, text));
    found.next().filter(|_| found.next().is_none())
}

fn is_text(build: &Build, origin: &Origin, text: &str) -> bool {
    let plain = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.flat_map(str::chars).filter(|c| !c.is_whitespace() && !matches!(c, '\\' | '`')).collect()
    };
    plain(&build.instruction(origin)) == plain(text)
}

/// The instructions of each stage, from one FROM to the next; those before the first FROM are left
/// out.
fn stages(build: &Build) -> Vec<Vec<&Origin>> {
    let mut stages: Vec<Vec<&Origin>> = Vec::new();
    for origin in &build.origins {
        if origin.instruction == "FROM" {
            stages.push(Vec::new());
        }
        if let Some(stage) = stages.last_mut() {
            stage.push(origin);
        }
    }
    stages
}

fn stage_name(build: &Build, stage: &[&Origin]) -> Option<String> {
    let from = build.instruction(stage.first()?);
    let mut words =
        from.split(|c: char| c.is_whitespace() || c == '\\').filter(|word| !word.is_empty()).rev();
    let name = words.next()?;
    words.next()?.eq_ignore_ascii_case("as").then(|| name.to_owned())
}

/// Whether BuildKit counts an instruction. FROM counts unless its base is another stage or
/// `scratch`.
fn makes_layer(build: &Build, origin: &Origin) -> bool {
    match origin.instruction.as_str() {
        "RUN" | "COPY" | "ADD" | "WORKDIR" => true,
        "FROM" => build.references.iter().any(|reference| {
            let before = build.dockerfile.get(..reference.span.start).unwrap_or_default();
            let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
            matches!(reference.role, Role::Base | Role::Stage)
                && reference.target != Target::Scratch
                && (origin.first..=origin.last).contains(&line)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use plan::{BuildContext, BuildId, Kind, Reference, Span, Written};

    use super::*;

    /// A build whose Dockerfile has one instruction per line, except for continuations. Bases that
    /// begin with `x/` are images. A line `# file` names the file that the following lines come
    /// from.
    fn build(dockerfile: &str) -> Build {
        let mut origins: Vec<Origin> = Vec::new();
        let mut references = Vec::new();
        let (mut file, mut own, mut open, mut at) = (None, 0, false, 0);
        for (number, line) in (1..).zip(dockerfile.lines()) {
            own += 1;
            if let Some(name) = line.strip_prefix("# ") {
                (file, own) = (Some(name.to_owned()), 0);
            } else if open {
                origins.last_mut().unwrap().last = number;
            } else {
                let instruction = line.split(' ').next().unwrap().to_owned();
                let written = file.clone().map(|file| Written { file, line: own });
                origins.push(Origin { instruction, first: number, last: number, written });
            }
            open = line.ends_with('\\');
            if let Some(start) = line.starts_with("FROM").then(|| line.find("x/")).flatten() {
                let span = Span { start: at + start, end: at + start + 3 };
                let target = Target::External { reference: "x".into() };
                references.push(Reference { role: Role::Stage, span, target });
            }
            at += line.len() + 1;
        }
        Build {
            id: BuildId("rel/x:1".into()),
            kind: Kind::Compat,
            layer: "compat/x".into(),
            image: "x".into(),
            version: "1".into(),
            target: "x".into(),
            is_final: true,
            references,
            needs: Vec::new(),
            reasons: Vec::new(),
            tags: plan::Tags::default(),
            labels: Default::default(),
            args: Default::default(),
            context: BuildContext { inputs: String::new(), sources: Vec::new() },
            compat_stack: Vec::new(),
            shadowed: Vec::new(),
            tests: Vec::new(),
            secrets: Vec::new(),
            origins,
            dockerfile: dockerfile.to_owned(),
        }
    }

    const COMPAT: &str = "FROM x/y\n# common\nUSER root\nRUN a \\\n  && b\n# web\n\
        COPY a /a\nRUN make\nWORKDIR /w\nRUN a && b\nENV I=1\n";

    const STAGES: &str = "ARG V=1\n# file\nFROM x/a AS Build\nRUN make\nFROM Build as next\nRUN make\nFROM x/b\n\
        COPY --from=next /a /b\nRUN other\n";

    fn check(
        dockerfile: &str,
        numbers: StepNumbering,
        step: &str,
        message: &str,
        expect: Option<(Option<&str>, u32)>,
    ) {
        let place = place(&build(dockerfile), numbers, Some(step), message);
        let found = place.as_ref().map(|place| (place.file.as_deref(), place.line));
        assert_eq!(found, expect, "{step:?} {message:?}");
    }

    #[test]
    fn buildkits_steps_are_what_makes_layers() {
        for (step, expect) in [
            ("[1/6] FROM x/y", Some((None, 1))),
            ("[2/6] RUN a   && b", Some((Some("common"), 2))),
            ("[4/6] RUN make", Some((Some("web"), 2))),
            ("[ 5/6] WORKDIR /w", Some((Some("web"), 3))),
            ("[6/6] RUN a && b", Some((Some("web"), 4))),
            // The text is not unique, and the number is not that of a RUN.
            ("[5/6] RUN a && b", None),
            ("[4/9] RUN make", Some((Some("web"), 2))),
            ("[internal] load metadata for x/y", None),
            ("exporting to image", None),
            ("[0/6] RUN x", None),
        ] {
            check(COMPAT, StepNumbering::Layers, step, "exit code: 1", expect);
        }
        for (step, expect) in [
            ("[build 2/2] RUN make", Some((Some("file"), 2))),
            ("[next 1/1] RUN make", Some((Some("file"), 4))),
            ("[linux/arm64 stage-2 3/3] RUN other", Some((Some("file"), 7))),
            ("[stage-2 2/3] COPY --from=next /a /b", Some((Some("file"), 6))),
        ] {
            check(STAGES, StepNumbering::Layers, step, "exit code: 1", expect);
        }
    }

    #[test]
    fn the_classic_builder_counts_the_file_and_podman_each_stage() {
        for (dockerfile, step, expect) in [
            (COMPAT, "[3/9] RUN a   && b", Some((Some("common"), 2))),
            (COMPAT, "[7/9] RUN a && b", Some((Some("web"), 4))),
            (COMPAT, "[8/9] ENV I=1", Some((Some("web"), 5))),
            (COMPAT, "[1/9] FROM x/y", Some((None, 1))),
            (COMPAT, "[9/9] LABEL x=y", None),
            (STAGES, "[3/9] RUN make", Some((Some("file"), 2))),
            (STAGES, "[1/3 2/2] RUN make", Some((Some("file"), 2))),
            (STAGES, "[2/3 2/2] RUN make", Some((Some("file"), 4))),
            (STAGES, "[3/3 3/4] RUN other", Some((Some("file"), 7))),
        ] {
            check(dockerfile, StepNumbering::Instructions, step, "returned a non-zero code: 1", expect);
        }
    }

    #[test]
    fn what_the_message_names_counts_first() {
        for (message, expect) in [
            ("dockerfile parse error line 8: unknown instruction: MAKE", Some((Some("web"), 2))),
            ("dockerfile parse error on line 5: no", Some((Some("common"), 2))),
            ("dockerfile parse error on line 6: no", None),
            ("building at STEP \"RUN make\": while running runtime: exit status 1", Some((Some("web"), 2))),
            ("something else", None),
        ] {
            check(COMPAT, StepNumbering::Layers, "exporting", message, expect);
        }
        // A name that continues over two lines is one line in the generated Dockerfile.
        let mut over_lines = build("FROM x/\\\ny\nRUN a\n");
        assert!(place(&over_lines, StepNumbering::Layers, None, "parse error line 3: no").is_some());
        over_lines.references[0].span.end += 2;
        assert_eq!(place(&over_lines, StepNumbering::Layers, None, "parse error line 3: no"), None);
    }

    #[test]
    fn a_long_instruction_is_cut() {
        let long = format!("FROM x/y\nRUN a \\\n{}  z\n", "  b \\\n".repeat(40));
        let place = place(&build(&long), StepNumbering::Layers, Some("[2/2] RUN a"), "").unwrap();
        assert_eq!(place.instruction.lines().count(), LONGEST + 1);
        assert!(place.instruction.ends_with("\n…"));
    }
}
