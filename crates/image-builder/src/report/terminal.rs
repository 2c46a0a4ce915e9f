//! Events → a live view on a terminal: one line for each build that runs, what is over scrolls by above them.

use std::collections::BTreeMap;
use std::time::Duration;

use executor::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use plan::BuildId;

use super::plain;
use super::words::{Paint, count, size};
use crate::escape::{escape, escape_output};

/// The live view; cleared when dropped.
pub(crate) struct Terminal {
    view: MultiProgress,
    /// The last line: how far the run is.
    total: ProgressBar,
    running: BTreeMap<(BuildId, Activity), ProgressBar>,
    verbose: u8,
    paint: Paint,
}

/// What a live line is about; a build's pushes overlap with nothing of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    Build,
    Push,
}

impl Terminal {
    /// A view on stderr, of so many builds.
    pub(crate) fn new(builds: usize, verbose: u8, paint: Paint) -> Self {
        let view = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = view.add(ProgressBar::new(builds as u64));
        total.set_style(style("{spinner} {pos} of {len} builds done {elapsed:.dim}"));
        total.enable_steady_tick(Duration::from_millis(200));
        Self { view, total, running: BTreeMap::new(), verbose, paint }
    }

    /// Shows what happened.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::BuildStarted { id, .. } => self.start(id, Activity::Build, "starting"),
            Event::ContextSent { id, bytes } => {
                self.say(id, Activity::Build, format!("context: {} sent", size(*bytes)));
            }
            Event::Step { id, name, cached } => {
                let cached = if *cached { " (cached)" } else { "" };
                self.say(id, Activity::Build, format!("{}{cached}", escape_output(name)));
            }
            Event::TestStarted { id, test } => {
                self.say(id, Activity::Build, format!("test {}", escape(test)));
            }
            Event::BuildFinished { id, .. } => {
                self.end(id, Activity::Build);
                self.total.inc(1);
                self.above(event);
            }
            Event::PushStarted { id, tag } => {
                self.start(id, Activity::Push, &format!("pushing {}", escape(tag)));
            }
            Event::Pushed { id, .. } | Event::PushFailed { id, .. } => {
                self.end(id, Activity::Push);
                self.above(event);
            }
            Event::RunFinished { .. } => {
                self.running.clear();
                self.total.finish_and_clear();
                // A view that cannot be cleared is a terminal that is gone.
                let _ = self.view.clear();
            }
            Event::RunStarted { .. }
            | Event::TestFinished { .. }
            | Event::PushRetried { .. }
            | Event::Notice { .. }
            | Event::Resolved { .. }
            | Event::Output { .. } => self.above(event),
        }
    }

    /// Prints the event's plain lines above the live ones.
    fn above(&self, event: &Event) {
        for line in plain::lines(event, self.verbose, self.paint).lines() {
            let _ = self.view.println(line);
        }
    }

    fn start(&mut self, id: &BuildId, activity: Activity, message: &str) {
        let line = self.view.insert_before(&self.total, ProgressBar::new_spinner());
        line.set_style(style("{spinner} {prefix:.bold} {wide_msg} {elapsed:.dim}"));
        line.set_prefix(escape(&id.0).into_owned());
        line.set_message(message.to_owned());
        line.enable_steady_tick(Duration::from_millis(200));
        self.running.insert((id.clone(), activity), line);
    }

    fn say(&self, id: &BuildId, activity: Activity, message: String) {
        if let Some(line) = self.running.get(&(id.clone(), activity)) {
            line.set_message(message);
        }
    }

    fn end(&mut self, id: &BuildId, activity: Activity) {
        if let Some(line) = self.running.remove(&(id.clone(), activity)) {
            line.finish_and_clear();
            self.view.remove(&line);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for line in self.running.values() {
            line.finish_and_clear();
        }
        self.total.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}

/// What `--progress tty` cannot do without a terminal, told once.
pub(crate) fn no_terminal(builds: usize) -> String {
    format!(
        "note: stderr is no terminal, so the progress of {} is shown as plain lines\n",
        count(builds, "build")
    )
}

#[cfg(test)]
mod tests {
    use executor::Outcome;
    use indicatif::InMemoryTerm;
    use plan::Kind;

    use super::*;

    #[test]
    fn a_line_for_each_running_build_and_what_is_over_above() {
        let screen = InMemoryTerm::new(10, 60);
        let mut terminal = Terminal::new(2, 0, Paint::Plain);
        // Ticking is up to the test, so that nothing depends on the time.
        terminal.total.disable_steady_tick();
        terminal.view.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let id = |name: &str| BuildId(name.to_owned());
        terminal.event(&Event::RunStarted {
            run: "r".to_owned(),
            builds: vec![id("science/a"), id("science/b")],
            jobs: 2,
            engine: "Docker 26".to_owned(),
            builder: "buildkit".to_owned(),
        });
        for name in ["science/a", "science/b"] {
            terminal.event(&Event::BuildStarted {
                id: id(name),
                kind: Kind::Science,
                log: String::new(),
                at: 0.0,
            });
        }
        terminal.event(&Event::Step { id: id("science/b"), name: "RUN \x1b[2Jx".to_owned(), cached: false });
        terminal.event(&Event::BuildFinished {
            id: id("science/a"),
            outcome: Outcome::Built,
            seconds: 12.0,
            error: None,
            log_tail: Vec::new(),
            at: 12.0,
        });
        for line in terminal.running.values() {
            line.tick();
        }
        terminal.total.tick();
        let shown = screen.contents();
        assert!(shown.contains("science/a: built in 12 s"), "{shown}");
        assert!(shown.contains("science/b RUN \\x1b[2Jx"), "{shown}");
        assert!(shown.contains("1 of 2 builds done"), "{shown}");
    }
}
