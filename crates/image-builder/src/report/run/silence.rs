//! Reports builds that print nothing for a minute, so that a log shows that they are alive.
//!
//! Pure: the time is an argument.

use std::collections::BTreeMap;

use executor::Event;
use plan::BuildId;

use crate::cli::escape::{escape, escape_output};
use crate::report::text::format::duration;

/// A build without a line for this many seconds is reported.
const LONG: f64 = 60.0;

/// Running builds, and the time of each one's last event.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    running: BTreeMap<BuildId, Running>,
}

#[derive(Debug)]
struct Running {
    began: f64,
    /// When its last line was shown.
    shown: f64,
    /// The current step.
    step: String,
    /// The last output.
    output: String,
}

impl Silence {
    /// Records an event; `shown` says whether a line was printed for it, `now` is in seconds.
    pub(crate) fn event(&mut self, event: &Event, shown: bool, now: f64) {
        match event {
            Event::BuildStarted { id, .. } => {
                let running = Running { began: now, shown: now, step: String::new(), output: String::new() };
                self.running.insert(id.clone(), running);
            }
            Event::Step { id, name, .. } => self.change(id, |running| {
                running.step.clone_from(name);
                running.output.clear();
            }),
            Event::TestStarted { id, test } => self.change(id, |running| {
                running.step = format!("test {test}");
                running.output.clear();
            }),
            Event::Output { id, line } => self.change(id, |running| {
                if let Some(line) = last_line(line) {
                    line.clone_into(&mut running.output);
                }
            }),
            Event::BuildFinished { id, .. } => drop(self.running.remove(id)),
            _ => {}
        }
        if shown && let Some(id) = build(event) {
            self.change(id, |running| running.shown = now);
        }
    }

    fn change(&mut self, id: &BuildId, change: impl FnOnce(&mut Running)) {
        if let Some(running) = self.running.get_mut(id) {
            change(running);
        }
    }

    /// Returns a line for each build that has had none for a minute.
    pub(crate) fn lines(&mut self, now: f64) -> String {
        let mut out = String::new();
        for (id, running) in self.running.iter_mut().filter(|(_, running)| now - running.shown >= LONG) {
            running.shown = now;
            let (id, after) = (escape(&id.0), duration(now - running.began));
            out.push_str(&format!("{id}: still running after {after}"));
            for words in [&running.step, &running.output] {
                if !words.is_empty() {
                    out.push_str(&format!(": {}", escape_output(words)));
                }
            }
            out.push('\n');
        }
        out
    }
}

/// Returns the part of a build's output that a terminal would show last: progress bars overwrite
/// themselves.
pub(crate) fn last_line(printed: &str) -> Option<&str> {
    printed.rsplit(['\r', '\n']).map(str::trim_end).find(|line| !line.trim().is_empty())
}

/// Returns the build that an event concerns, while the build runs.
fn build(event: &Event) -> Option<&BuildId> {
    match event {
        Event::BuildStarted { id, .. }
        | Event::ContextSent { id, .. }
        | Event::Step { id, .. }
        | Event::Output { id, .. }
        | Event::TestStarted { id, .. }
        | Event::TestFinished { id, .. } => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use plan::Kind;

    use super::*;

    #[test]
    fn a_build_that_is_silent_has_a_line_each_minute() {
        let id = || BuildId("science/a".to_owned());
        let mut silence = Silence::default();
        let started = Event::BuildStarted { id: id(), kind: Kind::Science, log: "l".to_owned(), at: 0.0 };
        silence.event(&started, true, 0.0);
        silence.event(&Event::Step { id: id(), name: "[2/2] RUN make".to_owned(), cached: false }, true, 1.0);
        assert_eq!(silence.lines(60.0), "");
        assert_eq!(silence.lines(61.0), "science/a: still running after 1 min 01 s: [2/2] RUN make\n");
        let printed = |line: &str| Event::Output { id: id(), line: line.to_owned() };
        silence.event(&printed(" 10 %\r 20 %\x1b[1m\r\n"), false, 70.0);
        silence.event(&printed("  \r\n"), false, 70.5);
        assert_eq!(silence.lines(120.0), "");
        assert_eq!(
            silence.lines(121.0),
            "science/a: still running after 2 min 01 s: [2/2] RUN make:  20 %\\x1b[1m\n"
        );
        // With `--logs`, the build's output is printed as a line.
        silence.event(&printed("x"), true, 170.0);
        assert_eq!(silence.lines(200.0), "");
        silence.event(&Event::Notice { message: "x".to_owned() }, true, 229.0);
        assert!(!silence.lines(230.0).is_empty());
    }
}
