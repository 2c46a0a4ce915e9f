//! Which face a run shows, and the event stream that feeds it.

use std::io;

use executor::Event;
use plan::Plan;

use super::terminal::{self, Terminal};
use super::words::Paint;
use super::{json, plain};
use crate::arguments::Progress;
use crate::output;

/// A run's face.
pub(crate) enum Face {
    /// Live lines on stderr.
    Terminal(Box<Terminal>),
    /// Plain lines on stderr.
    Plain {
        /// How often `-v` was given.
        verbose: u8,
        /// Colours of stderr.
        paint: Paint,
    },
    /// One event a line on stdout.
    Json,
    /// Nothing but failures.
    Quiet {
        /// Colours of stderr.
        paint: Paint,
    },
}

impl Face {
    /// The one that the flag asks for, of a plan's run.
    pub(crate) fn choose(progress: Progress, verbose: u8, plan: &Plan) -> Self {
        let paint = output::stderr_paint();
        let live = output::stderr_is_live();
        match progress {
            Progress::Auto | Progress::Tty if live => {
                Self::Terminal(Box::new(Terminal::new(plan, verbose, paint)))
            }
            Progress::Tty => {
                output::tell(&terminal::no_terminal(plan.builds.len()));
                Self::Plain { verbose, paint }
            }
            Progress::Auto | Progress::Plain => Self::Plain { verbose, paint },
            Progress::Json => Self::Json,
            Progress::Quiet => Self::Quiet { paint },
        }
    }

    /// Shows an event.
    ///
    /// # Errors
    /// When stdout cannot take what goes there, its reader being gone aside.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.event(event),
            Self::Plain { verbose, paint } => output::tell(&plain::lines(event, *verbose, *paint)),
            Self::Json => return output::data(&json::line(event)),
            Self::Quiet { paint } => {
                if is_failure(event) {
                    output::tell(&plain::lines(event, 0, *paint));
                }
            }
        }
        Ok(())
    }
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::BuildFinished { error, .. } => error.is_some(),
        Event::PushFailed { .. } => true,
        _ => false,
    }
}
