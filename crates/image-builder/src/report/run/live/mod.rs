//! Draws the live view on a terminal: running and waiting builds at the bottom, finished ones
//! scroll by above.
//!
//! [`RunView`] computes the lines, which are redrawn a few times a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use console::Term;
use executor::{Event, Outcome};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use plan::Plan;

use crate::report::run::live_state::RunView;
use crate::report::run::plain::{self, Detail};
use crate::report::text::format::{Paint, count};

/// Redraw interval while no event arrives.
const TICK: Duration = Duration::from_millis(200);

/// The live view; cleared when dropped.
pub(crate) struct Terminal {
    view: MultiProgress,
    frame: ProgressBar,
    watch: Arc<Mutex<RunView>>,
    /// Seconds since the run began.
    now: Box<dyn Fn() -> f64 + Send>,
    detail: Detail,
    paint: Paint,
}

impl Terminal {
    /// A view of a plan's run on stderr.
    pub(crate) fn new(plan: &Plan, detail: Detail, paint: Paint) -> Self {
        let began = Instant::now();
        let stderr = Term::stderr();
        let terminal =
            Self::on(ProgressDrawTarget::stderr(), RunView::new(plan, paint), detail, paint, move || {
                let (height, width) = stderr.size();
                (began.elapsed().as_secs_f64(), width.into(), height.into())
            });
        terminal.frame.enable_steady_tick(TICK);
        terminal
    }

    /// `moment` returns the seconds since the run started, and the terminal's width and height.
    fn on(
        target: ProgressDrawTarget,
        watch: RunView,
        detail: Detail,
        paint: Paint,
        moment: impl Fn() -> (f64, usize, usize) + Clone + Send + Sync + 'static,
    ) -> Self {
        let view = MultiProgress::with_draw_target(target);
        let frame = view.add(ProgressBar::new_spinner());
        let watch = Arc::new(Mutex::new(watch));
        let watched = Arc::clone(&watch);
        let clock = moment.clone();
        let now = move || clock().0;
        let draw = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let (now, width, height) = moment();
            let lines = watched.lock().lines(now, width, height);
            // Writing fails only if the terminal is gone.
            let _ = out.write_str(&lines.join("\n"));
        };
        let style = ProgressStyle::with_template("{frame}").expect("the template is well formed");
        frame.set_style(style.with_key("frame", draw));
        Self { view, frame, watch, now: Box::new(now), detail, paint }
    }

    /// Updates the view for an event.
    pub(crate) fn event(&mut self, event: &Event) {
        let mut watch = self.watch.lock();
        watch.event(event, (self.now)());
        let above = match event {
            Event::BuildFinished { id, outcome: Outcome::Built, .. } => {
                let report = plain::lines(event, self.detail, self.paint);
                format!("{}{}\n", report.trim_end(), watch.cached(id))
            }
            // The live lines show these.
            Event::BuildStarted { .. }
            | Event::ContextSent { .. }
            | Event::Step { .. }
            | Event::TestStarted { .. }
            | Event::PushStarted { .. } => String::new(),
            Event::Pushed { .. } if !self.detail.steps => String::new(),
            _ => plain::lines(event, self.detail, self.paint),
        };
        drop(watch);
        for line in above.lines() {
            // As above, this fails only if the terminal is gone.
            let _ = self.view.println(line);
        }
        if matches!(event, Event::RunFinished { .. }) {
            self.frame.finish_and_clear();
            let _ = self.view.clear();
        } else {
            self.frame.tick();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.frame.finish_and_clear();
    }
}

/// The notice for `--progress tty` without a terminal.
pub(crate) fn no_terminal(builds: usize) -> String {
    format!(
        "note: stderr is not a terminal, so the progress of {} is shown as plain lines\n",
        count(builds, "build")
    )
}

#[cfg(test)]
mod tests;
