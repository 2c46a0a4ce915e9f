//! How a run ended, for people: each build's outcome and names, then one sentence.

use executor::{BuildResult, Outcome, RunResult};

use super::plain::outcome_words;
use super::words::{Paint, count, duration, size};
use crate::escape::escape;

/// The text for stderr. `path` is where `result.json` is.
pub(crate) fn text(result: &RunResult, path: Option<&str>, paint: Paint) -> String {
    let mut out = String::new();
    // What stopped the run as a whole is told by itself, as the command's last word; builds that it kept from
    // beginning have nothing to tell.
    let begun = |build: &&BuildResult| result.error.is_none() || build.outcome != Outcome::Cancelled;
    for build in result.builds.iter().filter(begun) {
        push_build(&mut out, build, paint);
    }
    out.push_str(&closing(result, paint));
    if let Some(path) = path {
        out.push_str(&format!("result: {}, logs beside it\n", escape(path)));
    }
    out
}

fn push_build(out: &mut String, build: &BuildResult, paint: Paint) {
    let words = match is_kept(build) {
        true => paint.red("reused, moving tag not set"),
        false => outcome_words(build.outcome, paint),
    };
    out.push_str(&format!("{}: {words}", paint.bold(&escape(&build.id.0))));
    if matches!(build.outcome, Outcome::Built | Outcome::PushFailed) && !is_kept(build) {
        out.push_str(&format!(" in {}", duration(build.seconds)));
        if let Some(bytes) = build.size {
            out.push_str(&format!(", {}", size(bytes)));
        }
    }
    if let Some(error) = &build.error {
        out.push_str(&format!(": {}", escape(error)));
    }
    out.push('\n');
    for tag in &build.tags {
        let pushed = if build.pushed.contains(tag) { " (pushed)" } else { "" };
        out.push_str(&format!("    {}{pushed}\n", escape(tag)));
    }
    if let Some(digest) = &build.digest {
        out.push_str(&format!("    {}\n", escape(digest)));
    }
    if let (Outcome::Failed, Some(log)) = (build.outcome, &build.log) {
        out.push_str(&format!("    log: {}\n", escape(log)));
    }
}

/// Whether the registry had the build tag before, and the moving tag could not follow: then no image was made.
fn is_kept(build: &BuildResult) -> bool {
    build.outcome == Outcome::PushFailed && build.image_id.is_none()
}

/// One sentence: what became of the whole.
fn closing(result: &RunResult, paint: Paint) -> String {
    let kept = result.builds.iter().filter(|build| is_kept(build)).count();
    let of =
        |outcome| result.builds.iter().filter(|build| build.outcome == outcome && !is_kept(build)).count();
    if result.success && of(Outcome::Reused) == result.builds.len() && !result.builds.is_empty() {
        let builds = match result.builds.len() {
            1 => "the one build was".to_owned(),
            n => format!("all {n} builds were"),
        };
        return format!("{} {builds} already in the registry\n", paint.green("reused:"));
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
        "{verdict} in {}: of {}, {}\n",
        duration(result.seconds),
        count(result.builds.len(), "build"),
        if parts.is_empty() { "none was begun".to_owned() } else { parts.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use plan::{BuildId, Kind};

    use super::*;

    fn build(id: &str, outcome: Outcome) -> BuildResult {
        let built = matches!(outcome, Outcome::Built | Outcome::Reused);
        let tags = vec![format!("localhost:5000/x/{id}:1.0-2-abcdef0"), format!("localhost:5000/x/{id}:1.0")];
        BuildResult {
            id: BuildId(id.to_owned()),
            kind: Kind::Science,
            outcome,
            error: (outcome == Outcome::Failed).then(|| "`RUN make` exited with 2".to_owned()),
            failure: None,
            tags: if built { tags.clone() } else { Vec::new() },
            image_id: None,
            size: Some(333_000_000),
            digest: built.then(|| "sha256:0123".to_owned()),
            pushed: if built { tags } else { Vec::new() },
            from: Vec::new(),
            seconds: 34.0,
            log: Some("run/a.log".to_owned()),
            tests: Vec::new(),
        }
    }

    fn result(success: bool, builds: Vec<BuildResult>) -> RunResult {
        RunResult {
            format_version: "1.0".to_owned(),
            run: "r".to_owned(),
            commit: "0".repeat(40),
            repo: "localhost:5000/x".to_owned(),
            push: true,
            success,
            started: 0.0,
            seconds: 80.0,
            error: None,
            builds,
        }
    }

    #[test]
    fn each_build_then_a_sentence() {
        let result = result(
            false,
            vec![
                build("sci/a", Outcome::Built),
                build("sci/b", Outcome::Failed),
                build("rel/b:1.0", Outcome::Skipped),
            ],
        );
        insta::assert_snapshot!(text(&result, Some(".image-builder/runs/r/result.json"), Paint::Plain), @"
        sci/a: built in 34 s, 333.0 MB
            localhost:5000/x/sci/a:1.0-2-abcdef0 (pushed)
            localhost:5000/x/sci/a:1.0 (pushed)
            sha256:0123
        sci/b: failed: `RUN make` exited with 2
            log: run/a.log
        rel/b:1.0: skipped
        not done in 1 min 20 s: of 3 builds, 1 built, 1 failed, 1 skipped
        result: .image-builder/runs/r/result.json, logs beside it
        ");
    }

    #[test]
    fn what_was_reused_is_not_said_to_be_built() {
        let kept = BuildResult {
            error: Some("sci/a:1.0 shows a newer build".to_owned()),
            ..build("sci/a", Outcome::PushFailed)
        };
        let made = BuildResult { image_id: Some("sha256:1".to_owned()), ..kept.clone() };
        insta::assert_snapshot!(text(&result(false, vec![kept, made]), None, Paint::Plain), @"
        sci/a: reused, moving tag not set: sci/a:1.0 shows a newer build
        sci/a: built, not pushed in 34 s, 333.0 MB: sci/a:1.0 shows a newer build
        not done in 1 min 20 s: of 2 builds, 1 built but not pushed, 1 reused without moving tag
        ");
    }

    #[test]
    fn reuse_of_everything_is_said() {
        let all = result(true, vec![build("sci/a", Outcome::Reused), build("sci/b", Outcome::Reused)]);
        assert!(
            text(&all, None, Paint::Plain).ends_with("reused: all 2 builds were already in the registry\n")
        );
        let some = result(true, vec![build("sci/a", Outcome::Reused), build("sci/b", Outcome::Built)]);
        assert!(
            text(&some, None, Paint::Plain).ends_with("done in 1 min 20 s: of 2 builds, 1 built, 1 reused\n")
        );
    }
}
