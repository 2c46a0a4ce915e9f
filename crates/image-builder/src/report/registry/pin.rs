//! Reports external images and the digests that registries have for them.

use std::collections::BTreeMap;

use planner::pin::ExternalImage;

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, count};
use crate::report::text::problems::help_lines;

/// The digest that each reference with a tag points to; `None` if the registry has no such tag.
pub(crate) type Digests = BTreeMap<String, Option<String>>;

/// How a reference names its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// By the digest that its tag points to, or by a digest whose tag was not looked up.
    Pinned,
    /// By a digest alone: there is no tag to follow.
    DigestAlone,
    /// By tag. Contains the digest that the tag points to.
    Unpinned(String),
    /// By another digest than the one that its tag points to. Contains the latter.
    Moved(String),
    /// By a tag that the registry does not have.
    Missing,
}

impl State {
    /// Whether `--check` accepts the reference.
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Pinned | Self::DigestAlone)
    }
}

/// Determines how a reference names its image, from the digests in registries.
pub(crate) fn state(image: &ExternalImage, digests: &Digests) -> State {
    let Some(tagged) = image.tagged() else { return State::DigestAlone };
    match (digests.get(&tagged.to_string()), &image.image.digest) {
        (None, _) => State::Pinned,
        (Some(None), _) => State::Missing,
        (Some(Some(shown)), None) => State::Unpinned(shown.clone()),
        (Some(Some(shown)), Some(pinned)) if shown == pinned => State::Pinned,
        (Some(Some(shown)), Some(_)) => State::Moved(shown.clone()),
    }
}

/// The report of `--check`: every reference that it does not accept, and the number of those that
/// it accepts.
pub(crate) fn checked(states: &[(&ExternalImage, State)], paint: Paint) -> String {
    let mut out = missing(states, paint);
    for (image, state) in states {
        let text = escape(&image.text);
        let (what, help) = match state {
            State::Pinned | State::DigestAlone | State::Missing => continue,
            State::Unpinned(shown) => (
                format!("{text} is not pinned"),
                format!("its tag shows {shown} now: `image-builder pin` writes that"),
            ),
            State::Moved(shown) => (
                format!("{text} is pinned to another digest than its tag shows"),
                format!("it shows {shown} now: `image-builder pin --update` writes that"),
            ),
        };
        out.push_str(&line(image, &what, paint));
        out.push_str(&help_lines(&help));
    }
    let holds = states.iter().filter(|(_, state)| state.holds()).count();
    let all = count(states.len(), "external image");
    out.push_str(&match (states.len(), states.len() - holds) {
        (0, _) => "the source tree names no external image\n".to_owned(),
        (_, 0) => format!("{all}: {}\n", paint.green("all pinned to what their tags show")),
        (_, wrong) => format!("{all}: {wrong} not pinned to what the tag shows\n"),
    });
    out
}

/// Every image that does not exist.
pub(crate) fn missing(states: &[(&ExternalImage, State)], paint: Paint) -> String {
    let mut out = String::new();
    for (image, _) in states.iter().filter(|(_, state)| *state == State::Missing) {
        out.push_str(&line(image, &format!("{}: the registry has no such tag", escape(&image.text)), paint));
        out.push_str(&help_lines("name a tag that is there; nothing is written before that"));
    }
    out
}

/// References that could not be edited, because they are composed of variables.
pub(crate) fn left(states: &[(&ExternalImage, State)], paint: Paint) -> String {
    let mut out = String::new();
    for (image, state) in states {
        let (State::Unpinned(digest) | State::Moved(digest)) = state else { continue };
        if image.edit(digest).is_some() {
            continue;
        }
        let what = format!(
            "{} cannot be pinned here: it is put together as {}",
            escape(&image.text),
            escape(&image.typed)
        );
        out.push_str(&line(image, &what, paint));
        let pinned = image.pinned(digest);
        out.push_str(&help_lines(&if image.typed.contains('$') {
            format!("write {pinned} where the variable gets its value, or in place of it")
        } else {
            format!("write {pinned} in place of it")
        }));
    }
    out
}

/// The number of references that were pinned, that were pinned already, and that cannot be pinned.
pub(crate) fn written(states: &[(&ExternalImage, State)], dryrun: bool) -> String {
    if states.is_empty() {
        return "the source tree names no external image\n".to_owned();
    }
    let already = states.iter().filter(|(_, state)| state.holds()).count();
    let is_writable = |(image, state): &(&ExternalImage, State)| match state {
        State::Unpinned(digest) | State::Moved(digest) => image.edit(digest).is_some(),
        State::Pinned | State::DigestAlone | State::Missing => false,
    };
    let now = states.iter().filter(|state| is_writable(state)).count();
    let left = states.len() - already - now;
    let parts = [
        (now, if dryrun { "would be pinned" } else { "pinned now" }),
        (already, "pinned already"),
        (left, "cannot be pinned where it is named"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    format!("{}: {}\n", count(states.len(), "external image"), parts.join(", "))
}

/// `file:line: error: what`
fn line(image: &ExternalImage, what: &str, paint: Paint) -> String {
    format!("{}:{}: {}: {what}\n", escape(&image.file), image.line, paint.red("error"))
}
