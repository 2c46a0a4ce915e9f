//! Shows the result of a run: a table of the builds, the published names, the failures, and one
//! sentence.

use std::collections::HashMap;

use executor::{BuildResult, Comparison, Outcome, RunResult, Within};
use plan::Plan;

use crate::cli::escape::escape;
use crate::report::run::live_state::slowest_words;
use crate::report::run::{critical_path, failed};
use crate::report::text::columns::{Colour, plain, table};
use crate::report::text::format::{Paint, count, duration, size};

/// The text for stderr. `file` is where `result.json` is.
pub(crate) fn text(result: &RunResult, plan: &Plan, file: Option<&str>, paint: Paint) -> String {
    let mut out = String::new();
    // An error of the whole run is printed separately, last; builds that did not start because of
    // it have no line of their own.
    let begun =
        result.error.is_none() || result.builds.iter().any(|build| build.outcome != Outcome::Cancelled);
    if begun {
        out.push_str(&rows(result, paint));
        out.push('\n');
        let names: String = result.builds.iter().filter_map(names).collect();
        if !names.is_empty() {
            out.push_str(&format!("{names}\n"));
        }
        // Failures come last, because the end of the output is read first.
        for build in failed::builds(result) {
            out.push_str(&failed::text(build, paint));
            out.push('\n');
        }
    }
    out.push_str(&format!("{}\n", closing(result, paint)));
    if let Some(slowest) = slowest(result, plan) {
        out.push_str(&format!("{slowest}\n"));
    }
    if let Some(file) = file {
        out.push_str(&format!("result: {}, logs beside it\n", escape(file)));
    }
    out
}

fn rows(result: &RunResult, paint: Paint) -> String {
    let tested = result.builds.iter().any(|build| !build.tests.is_empty());
    let head =
        ["build", "outcome", "time", "size", "change", "layers", if tested { "tests" } else { "" }, ""];
    let dim = |text: &str| (text.to_owned(), Paint::dim as Colour);
    let mut rows: Vec<Vec<(String, Colour)>> = vec![head.map(dim).to_vec()];
    for build in &result.builds {
        let (outcome, colour) = outcome(build);
        rows.push(vec![
            (escape(&build.id.0).into_owned(), Paint::bold),
            (outcome.to_owned(), colour),
            (time(build), plain),
            (build.size.map(size).unwrap_or_default(), plain),
            (build.compared.as_ref().map(change).unwrap_or_default(), plain),
            (build.compared.as_ref().map(layers).unwrap_or_default(), plain),
            (tests(build), plain),
            (why_skipped(build), Paint::dim),
        ]);
    }
    let mut out = table(&rows, &[2, 3, 4], paint);
    if let Some(legend) = legend(result) {
        out.push_str(&format!("{}\n", paint.dim(&format!("change and layers: {legend}"))));
    }
    out
}

/// The legend of the column of size changes: the image that sizes are compared with.
pub(crate) fn legend(result: &RunResult) -> Option<&'static str> {
    let mut compared = result.builds.iter().filter_map(|build| build.compared.as_ref());
    let compared = compared.find(|compared| compared.earlier.is_some())?;
    Some(match compared.within {
        Within::Registry => {
            "beside what the moving tag showed in the registry, compressed as it is stored there"
        }
        Within::Engine => "beside what the moving tag showed on this engine",
    })
}

/// The outcome of a build in a word or two.
pub(crate) fn outcome(build: &BuildResult) -> (&'static str, Colour) {
    match build.outcome {
        _ if is_kept(build) => ("reused, moving tag not set", Paint::red),
        Outcome::Built => ("built", Paint::green),
        Outcome::Reused => ("reused", Paint::green),
        Outcome::Failed => ("failed", Paint::red),
        Outcome::PushFailed => ("built, not pushed", Paint::red),
        Outcome::Skipped => ("skipped", Paint::yellow),
        Outcome::Cancelled => ("cancelled", Paint::yellow),
    }
}

/// How long a build took, if it ran.
pub(crate) fn time(build: &BuildResult) -> String {
    if build.seconds > 0.0 { duration(build.seconds) } else { String::new() }
}

/// `+1.5 MB`, `-3.0 kB`, `same size`, `new`.
pub(crate) fn change(compared: &Comparison) -> String {
    let Some(earlier) = compared.earlier_size else { return "new".to_owned() };
    match compared.size.checked_sub(earlier) {
        Some(0) => "same size".to_owned(),
        Some(more) => format!("+{}", size(more)),
        None => format!("-{}", size(earlier - compared.size)),
    }
}

/// `14, 9 kept`: the number of layers, and how many of them a client with the earlier image already
/// has.
pub(crate) fn layers(compared: &Comparison) -> String {
    match &compared.earlier {
        None => compared.layers.to_string(),
        Some(_) if compared.shared == compared.layers => format!("{}, all kept", compared.layers),
        Some(_) => format!("{}, {} kept", compared.layers, compared.shared),
    }
}

/// `3 passed`, `1 of 3 failed`.
pub(crate) fn tests(build: &BuildResult) -> String {
    let failed = build.tests.iter().filter(|test| !test.passed).count();
    match build.tests.len() {
        0 => String::new(),
        all if failed == 0 => format!("{all} passed"),
        all => format!("{failed} of {all} failed"),
    }
}

/// Why a build was skipped.
pub(crate) fn why_skipped(build: &BuildResult) -> String {
    let error = build.error.as_deref().filter(|_| build.outcome == Outcome::Skipped);
    error.map(|error| escape(error).into_owned()).unwrap_or_default()
}

/// The names of the new image, indented below the id of its build.
fn names(build: &BuildResult) -> Option<String> {
    if build.tags.is_empty() {
        return None;
    }
    let mut out = format!("{}\n", escape(&build.id.0));
    for tag in &build.tags {
        let pushed = if build.pushed.contains(tag) { " (pushed)" } else { "" };
        out.push_str(&format!("    {}{pushed}\n", escape(tag)));
    }
    if let Some(digest) = &build.digest {
        out.push_str(&format!("    {}\n", escape(digest)));
    }
    Some(out)
}

/// Whether the registry already had the build tag and only the moving tag could not be updated. No
/// image was built then.
fn is_kept(build: &BuildResult) -> bool {
    build.outcome == Outcome::PushFailed && build.image_id.is_none()
}

/// The chain of builds that determined the run's duration, if there were several builds.
pub(crate) fn slowest(result: &RunResult, plan: &Plan) -> Option<String> {
    let seconds: HashMap<_, _> = result.builds.iter().map(|build| (&build.id, build.seconds)).collect();
    let seconds: Vec<f64> =
        plan.builds.iter().map(|build| seconds.get(&build.id).copied().unwrap_or_default()).collect();
    let (path, total) = critical_path::slowest(&critical_path::needs(plan), &seconds);
    (path.len() > 1).then(|| slowest_words(&path, total, |at| &plan.builds[at].id))
}

/// Summarises the run in one sentence.
pub(crate) fn closing(result: &RunResult, paint: Paint) -> String {
    let kept = result.builds.iter().filter(|build| is_kept(build)).count();
    let of =
        |outcome| result.builds.iter().filter(|build| build.outcome == outcome && !is_kept(build)).count();
    if result.success && of(Outcome::Reused) == result.builds.len() && !result.builds.is_empty() {
        let builds = match result.builds.len() {
            1 => "the one build was".to_owned(),
            n => format!("all {n} builds were"),
        };
        return format!("{} {builds} already in the registry", paint.green("reused:"));
    }
    let parts: Vec<String> = [
        (of(Outcome::Built), "built"),
        (of(Outcome::Reused), "reused"),
        (of(Outcome::Failed), "failed"),
        (of(Outcome::PushFailed), "built but not pushed"),
        (kept, "reused without moving tag"),
        (of(Outcome::Skipped), "skipped"),
        (of(Outcome::Cancelled), "cancelled"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{n} {word}"))
    .collect();
    let verdict = if result.success { paint.green("done") } else { paint.red("not done") };
    format!(
        "{verdict} in {}: of {}, {}",
        duration(result.seconds),
        count(result.builds.len(), "build"),
        if parts.is_empty() { "none was begun".to_owned() } else { parts.join(", ") }
    )
}

#[cfg(test)]
mod tests;
