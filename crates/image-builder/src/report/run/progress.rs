//! Chooses how a run's progress is shown, and passes events to that view.

use std::io;
use std::time::Instant;

use executor::Event;
use plan::Plan;

use crate::cli::args::Progress;
use crate::cli::output;
use crate::report::run::json;
use crate::report::run::live::{self, Terminal};
use crate::report::run::plain::{self, Detail};
use crate::report::run::silence::Silence;
use crate::report::text::format::Paint;

/// The view of a run's progress.
pub(crate) enum ProgressReporter {
    /// Live lines on stderr.
    Terminal(Box<Terminal>),
    /// Plain lines on stderr.
    Plain {
        /// Which additional lines are printed.
        detail: Detail,
        /// Colours of stderr.
        paint: Paint,
        /// Builds that have been silent for long.
        silence: Silence,
        /// When the run began.
        began: Instant,
    },
    /// One event a line on stdout.
    Json,
    /// Nothing but failures.
    Quiet {
        /// Colours of stderr.
        paint: Paint,
    },
}

impl ProgressReporter {
    /// Creates the reporter for a plan's run that `--progress` selects.
    pub(crate) fn choose(progress: Progress, detail: Detail, plan: &Plan) -> Self {
        let began = Instant::now();
        let plain = |paint| Self::Plain { detail, paint, silence: Silence::default(), began };
        let paint = output::stderr_paint();
        let live = output::stderr_is_live();
        match progress {
            Progress::Auto | Progress::Tty if live => {
                Self::Terminal(Box::new(Terminal::new(plan, detail, paint)))
            }
            Progress::Tty => {
                output::print_stderr(&live::no_terminal(plan.builds.len()));
                plain(paint)
            }
            Progress::Auto | Progress::Plain => plain(paint),
            Progress::Json => Self::Json,
            Progress::Quiet => Self::Quiet { paint },
        }
    }

    /// Shows an event.
    ///
    /// # Errors
    /// If stdout cannot be written. A closed reader is not an error.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.event(event),
            Self::Plain { detail, paint, silence, began } => {
                let text = plain::lines(event, *detail, *paint);
                silence.event(event, !text.is_empty(), began.elapsed().as_secs_f64());
                output::print_stderr(&text);
            }
            Self::Json => return output::print_stdout(&json::line(event)),
            Self::Quiet { paint } => {
                if is_failure(event) {
                    output::print_stderr(&plain::lines(event, Detail::NONE, *paint));
                }
            }
        }
        Ok(())
    }
}

impl ProgressReporter {
    /// Reports silent builds. Called when no event has arrived for a while.
    pub(crate) fn tick(&mut self) {
        if let Self::Plain { silence, began, .. } = self {
            output::print_stderr(&silence.lines(began.elapsed().as_secs_f64()));
        }
    }
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::BuildFinished { error, .. } => error.is_some(),
        Event::PushFailed { .. } => true,
        _ => false,
    }
}
