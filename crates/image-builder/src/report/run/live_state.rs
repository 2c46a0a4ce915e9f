//! Computes the lines of the live view from events, as many as fit.
//!
//! Pure: the time and the terminal's size are arguments. [`crate::report::run::live`] draws the
//! lines.

use std::collections::{BTreeMap, HashMap};

use executor::{Event, Outcome};
use plan::{BuildId, Plan};

use crate::cli::escape::{escape, escape_output};
use crate::report::run::critical_path;
use crate::report::run::silence::last_line;
use crate::report::text::columns::{fit, pad};
use crate::report::text::format::{Paint, count, duration, list, size};

/// Most lines for waiting builds, even if there is space for more.
const MOST_WAITING: usize = 8;

/// The state of a build.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Waiting,
    /// The start time, and the current activity.
    Building(f64, Doing),
    Over(Outcome),
}

/// The current activity of a build.
#[derive(Debug, Clone, PartialEq)]
struct Doing {
    words: String,
    /// Whether this is an instruction, rather than, for instance, a context transfer.
    is_instruction: bool,
    /// The last output of the instruction.
    output: String,
}

impl Doing {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_instruction: false, output: String::new() }
    }

    /// Fits the activity into `width` columns: output gets the space that the step leaves, but at
    /// least half.
    fn fit(&self, width: usize) -> String {
        if self.output.is_empty() {
            return fit(&self.words, width);
        }
        let rest = width.saturating_sub(SEPARATOR.chars().count());
        let output = self.output.chars().count().min(rest / 2);
        let words = fit(&self.words, rest - output);
        let left = rest.saturating_sub(words.chars().count());
        format!("{words}{SEPARATOR}{}", fit(&self.output, left))
    }
}

/// Separates a step from its output.
const SEPARATOR: &str = " | ";

#[derive(Debug)]
struct BuildView {
    id: BuildId,
    state: State,
    /// The push in progress: its start time and its description.
    push: Option<(f64, String)>,
    seconds: f64,
    steps: Steps,
}

/// The steps of one build, by name, and whether each came from the cache.
#[derive(Debug, Default)]
struct Steps(BTreeMap<String, bool>);

impl Steps {
    fn update(&mut self, name: &str, cached: bool) {
        if is_instruction(name) {
            *self.0.entry(name.to_owned()).or_default() |= cached;
        }
    }

    /// `5 of 7 steps cached`; `None` if no step was cached.
    fn words(&self) -> Option<String> {
        let cached = self.cached();
        (cached > 0).then(|| format!("{cached} of {} cached", count(self.0.len(), "step")))
    }

    fn cached(&self) -> usize {
        self.0.values().filter(|cached| **cached).count()
    }
}

/// Whether a step is an instruction. Loading a definition or a context, exporting, and our own
/// messages are not.
fn is_instruction(step: &str) -> bool {
    step.starts_with('[') && !step.starts_with("[internal]")
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct RunView {
    builds: Vec<BuildView>,
    positions: HashMap<BuildId, usize>,
    needs: Vec<Vec<usize>>,
    jobs: usize,
    pushed: usize,
    repo: String,
    paint: Paint,
}

impl RunView {
    /// The state before the run: all builds wait.
    pub(crate) fn new(plan: &Plan, paint: Paint) -> Self {
        let watched = |id: &BuildId| BuildView {
            id: id.clone(),
            state: State::Waiting,
            push: None,
            seconds: 0.0,
            steps: Steps::default(),
        };
        let builds: Vec<BuildView> = plan.builds.iter().map(|build| watched(&build.id)).collect();
        let positions = builds.iter().enumerate().map(|(at, build)| (build.id.clone(), at)).collect();
        Self {
            builds,
            positions,
            needs: critical_path::needs(plan),
            jobs: 1,
            pushed: 0,
            repo: plan.repo.clone(),
            paint,
        }
    }

    /// Updates the state from an event; `now` is in seconds.
    pub(crate) fn event(&mut self, event: &Event, now: f64) {
        if let Event::RunStarted { jobs, .. } = event {
            self.jobs = *jobs;
        }
        match event {
            Event::BuildStarted { id, .. } => {
                self.change(id, |build| build.state = State::Building(now, Doing::new("starting")));
            }
            Event::ContextSent { id, bytes } => {
                let words = format!("context: {} sent", size(*bytes));
                self.change(id, |build| match &mut build.state {
                    // Context transfer continues during instructions that do not need the rest.
                    State::Building(_, doing) if !doing.is_instruction => *doing = Doing::new(words),
                    _ => {}
                });
            }
            Event::Step { id, name, cached } => {
                self.change(id, |build| build.steps.update(name, *cached));
                let doing = Doing {
                    is_instruction: is_instruction(name),
                    ..Doing::new(escape_output(name).into_owned())
                };
                self.say(id, doing);
            }
            Event::Output { id, line } => {
                let Some(line) = last_line(line) else { return };
                let line = escape_output(line.trim()).into_owned();
                self.change(id, |build| {
                    if let State::Building(_, doing) = &mut build.state {
                        doing.output = line;
                    }
                });
            }
            Event::TestStarted { id, test } => self.say(id, Doing::new(format!("test {}", escape(test)))),
            Event::BuildFinished { id, outcome, seconds, .. } => self.change(id, |build| {
                build.state = State::Over(*outcome);
                build.seconds = *seconds;
            }),
            Event::PushStarted { id, tag } => {
                let words = format!("pushing {}", self.short(tag));
                self.change(id, |build| build.push = Some((now, words)));
            }
            Event::PushRetried { id, tag, attempts, wait, .. } => {
                let again = duration(*wait);
                let words = format!("pushing {}: {attempts} failed, again in {again}", self.short(tag));
                self.change(id, |build| {
                    build.push = Some((build.push.as_ref().map_or(now, |(since, _)| *since), words));
                });
            }
            Event::Pushed { id, .. } => {
                self.pushed += 1;
                self.change(id, |build| build.push = None);
            }
            Event::PushFailed { id, .. } => self.change(id, |build| build.push = None),
            Event::RunStarted { .. }
            | Event::Notice { .. }
            | Event::Resolved { .. }
            | Event::TestFinished { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    /// The use of the cache by a finished build: `, 5 of 7 steps cached`.
    pub(crate) fn cached(&self, id: &BuildId) -> String {
        let build = self.positions.get(id).map(|at| &self.builds[*at]);
        build.and_then(|build| build.steps.words()).map_or_else(String::new, |words| format!(", {words}"))
    }

    /// A tag without the repo, which is the same for all.
    fn short(&self, tag: &str) -> String {
        let short = tag.strip_prefix(&self.repo).and_then(|rest| rest.strip_prefix('/'));
        escape(short.unwrap_or(tag)).into_owned()
    }

    fn change(&mut self, id: &BuildId, change: impl FnOnce(&mut BuildView)) {
        if let Some(at) = self.positions.get(id) {
            change(&mut self.builds[*at]);
        }
    }

    fn say(&mut self, id: &BuildId, now: Doing) {
        self.change(id, |build| {
            if let State::Building(_, doing) = &mut build.state {
                *doing = now;
            }
        });
    }

    /// The live lines: running builds, waiting builds and what they wait for, overall progress.
    /// Each is shorter than `width`, and there are fewer than `height`.
    pub(crate) fn lines(&self, now: f64, width: usize, height: usize) -> Vec<String> {
        // A line that fills the terminal's width may wrap.
        let width = width.saturating_sub(1).max(20);
        let foot = self.foot(now, width);
        let room = height.saturating_sub(foot.len() + 1);
        let mut lines = self.running(now, width);
        if room == 0 {
            lines.clear();
        } else if lines.len() > room {
            let hidden = lines.len() - room.saturating_sub(1);
            lines.truncate(room.saturating_sub(1));
            lines.push(self.paint.dim(&fit(&format!("  … and {hidden} more run"), width)));
        }
        let left = room.saturating_sub(lines.len()).min(MOST_WAITING);
        lines.extend(self.waiting(width, left));
        lines.extend(foot);
        lines
    }

    fn running(&self, now: f64, width: usize) -> Vec<String> {
        let spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'][(now.max(0.0) * 5.0) as usize % 10];
        let ids = self.id_width(width);
        let mut lines = Vec::new();
        for build in &self.builds {
            let mut line = |since: f64, doing: &Doing, cached: Option<String>| {
                let right = [cached, Some(duration(now - since))].into_iter().flatten();
                let right = right.collect::<Vec<_>>().join("  ");
                let middle = width.saturating_sub(4 + ids + 2 + right.chars().count());
                lines.push(format!(
                    "{spinner} {} {}  {}",
                    self.paint.bold(&pad(&escape(&build.id.0), ids)),
                    pad(&doing.fit(middle), middle),
                    self.paint.dim(&right)
                ));
            };
            if let State::Building(since, doing) = &build.state {
                line(*since, doing, build.steps.words().filter(|_| width >= 80));
            }
            if let Some((since, words)) = &build.push {
                line(*since, &Doing::new(words.as_str()), None);
            }
        }
        lines
    }

    /// Waiting builds and what they wait for, in the plan's order, in at most `most` lines.
    fn waiting(&self, width: usize, most: usize) -> Vec<String> {
        let ids = self.id_width(width);
        let waiting: Vec<usize> = self.all(|state| *state == State::Waiting).collect();
        let shown = if waiting.len() > most { most.saturating_sub(1) } else { waiting.len() };
        let line = |at: &usize| {
            let missing: Vec<&str> = self.needs[*at]
                .iter()
                .filter(|need| !self.is_there(**need))
                .map(|need| self.builds[*need].id.0.as_str())
                .collect();
            let why = match missing.as_slice() {
                [] => format!("waits for a place: {} at a time", self.jobs),
                missing => format!("waits for {}", list(missing)),
            };
            let why = fit(&why, width.saturating_sub(ids + 3));
            self.paint.dim(&format!("  {} {why}", pad(&escape(&self.builds[*at].id.0), ids)))
        };
        let mut lines: Vec<String> = waiting[..shown].iter().map(line).collect();
        if waiting.len() > shown && most > 0 {
            lines.push(self.paint.dim(&fit(&format!("  … and {} more wait", waiting.len() - shown), width)));
        }
        lines
    }

    fn foot(&self, now: f64, width: usize) -> Vec<String> {
        let of = |wanted: Outcome| self.all(|state| *state == State::Over(wanted)).count();
        let over = self.all(|state| matches!(state, State::Over(_))).count();
        let steps: usize = self.builds.iter().map(|build| build.steps.0.len()).sum();
        let cached: usize = self.builds.iter().map(|build| build.steps.cached()).sum();
        let parts = [
            (of(Outcome::Reused), "reused"),
            (of(Outcome::Failed), "failed"),
            (of(Outcome::Skipped), "skipped"),
            (self.all(|state| matches!(state, State::Building(..))).count(), "running"),
            (self.builds.iter().filter(|build| build.push.is_some()).count(), "pushing"),
            (self.all(|state| *state == State::Waiting).count(), "waiting"),
            (self.pushed, "tags pushed"),
        ];
        let mut words = vec![format!("{over} of {} done", count(self.builds.len(), "build"))];
        words.extend(parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
        if cached > 0 {
            words.push(format!("{cached} of {} cached", count(steps, "step")));
        }
        words.insert(1, duration(now));
        let mut lines = vec![fit(&words.join(", "), width)];
        let seconds: Vec<f64> = self
            .builds
            .iter()
            .map(|build| match build.state {
                State::Building(since, _) => (now - since).max(0.001),
                State::Waiting | State::Over(_) => build.seconds,
            })
            .collect();
        let (path, total) = critical_path::slowest(&self.needs, &seconds);
        if path.len() > 1 {
            lines.push(fit(&slowest_words(&path, total, |at| &self.builds[at].id), width));
        }
        lines
    }

    fn all(&self, is: impl Fn(&State) -> bool) -> impl Iterator<Item = usize> {
        (0..self.builds.len()).filter(move |at| is(&self.builds[*at].state))
    }

    /// Whether builds that need this one may start.
    fn is_there(&self, build: usize) -> bool {
        let State::Over(outcome) = self.builds[build].state else { return false };
        matches!(outcome, Outcome::Built | Outcome::Reused | Outcome::PushFailed)
    }

    /// Width of the column of ids: that of the longest id, but at most a third of a line.
    fn id_width(&self, width: usize) -> usize {
        let longest = self.builds.iter().map(|build| escape(&build.id.0).chars().count()).max();
        longest.unwrap_or(0).min(width / 3)
    }
}

/// `slowest path: 3 min 05 s for a → b → c`; the middle of a long path is left out.
pub(crate) fn slowest_words<'a>(path: &[usize], total: f64, id: impl Fn(usize) -> &'a BuildId) -> String {
    let names: Vec<String> = path.iter().map(|at| escape(&id(*at).0).into_owned()).collect();
    let names = match names.as_slice() {
        [first, .., before, last] if names.len() > 4 => {
            format!("{first} → {} more → {before} → {last}", names.len() - 3)
        }
        names => names.join(" → "),
    };
    format!("slowest path: {} for {names}", duration(total))
}
