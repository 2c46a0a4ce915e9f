//! Writes the result of a run as Markdown, for a merge request.
//!
//! External text is put into code spans and blocks only, where it cannot be a heading, a mention or
//! a link.

use executor::{BuildResult, Outcome, RunResult};
use plan::Plan;

use crate::cli::escape::{escape, escape_output};
use crate::report::run::summary::{
    change, closing, layers, legend, outcome, slowest, tests, time, why_skipped,
};
use crate::report::run::{failed, package_changes};
use crate::report::text::format::{Paint, short_commit, size};
use crate::report::text::markdown::{block, code, row};

/// The page.
pub(crate) fn text(result: &RunResult, plan: &Plan) -> String {
    let sign = if result.success { "✅" } else { "❌" };
    let mut out = format!("## {sign} image-builder: {}\n\n", closing(result, Paint::Plain));
    if let Some(error) = &result.error {
        out.push_str(&block("text", &[escape(error).into_owned()]));
    }
    let pushed = if result.push { "pushed to" } else { "not pushed; named under" };
    out.push_str(&format!(
        "Commit {}, {pushed} {}, {}.\n\n",
        code(&short_commit(&result.commit)),
        code(&escape(&result.repo)),
        code(&escape(&plan.platform))
    ));
    for build in failed::builds(result) {
        out.push_str(&failure(build));
    }
    if !result.builds.is_empty() {
        out.push_str(&table(result));
    }
    if let Some(slowest) = slowest(result, plan) {
        out.push_str(&format!("The {}.\n\n", code_ids(&slowest)));
    }
    out.push_str(&package_changes::markdown(result));
    out.push_str(&names(result));
    format!("{}\n", out.trim_end())
}

fn table(result: &RunResult) -> String {
    let tested = result.builds.iter().any(|build| !build.tests.is_empty());
    let mut out = "| build | outcome | time | size | change | layers |".to_owned();
    out.push_str(if tested { " tests |\n" } else { "\n" });
    out.push_str("| --- | --- | ---: | ---: | ---: | --- |");
    out.push_str(if tested { " --- |\n" } else { "\n" });
    for build in &result.builds {
        let sign = match build.outcome {
            Outcome::Built => "✅ ",
            Outcome::Reused => "♻️ ",
            Outcome::Failed | Outcome::PushFailed => "❌ ",
            Outcome::Skipped | Outcome::Cancelled => "⏭️ ",
        };
        let compared = build.compared.as_ref();
        let mut cells = vec![
            code(&escape(&build.id.0)),
            match why_skipped(build) {
                why if why.is_empty() => format!("{sign}{}", outcome(build).0),
                why => format!("{sign}{}: {}", outcome(build).0, code(&why)),
            },
            time(build),
            build.size.map(size).unwrap_or_default(),
            compared.map(change).unwrap_or_default(),
            compared.map(layers).unwrap_or_default(),
        ];
        if tested {
            cells.push(tests(build));
        }
        out.push_str(&row(&cells));
    }
    out.push('\n');
    if let Some(legend) = legend(result) {
        out.push_str(&format!("Change and layers: {legend}.\n\n"));
    }
    out
}

fn failure(build: &BuildResult) -> String {
    let what = if build.outcome == Outcome::Failed { "failed" } else { "could not be pushed" };
    let mut out = format!("### {} {what}\n\n", code(&escape(&build.id.0)));
    if let Some(error) = &build.error {
        out.push_str(&block("text", &[escape(error).into_owned()]));
    }
    if let Some(failed) = &build.failed_at {
        out.push_str(&format!("At {}:\n\n", code(&failed::place(failed))));
        let lines: Vec<String> = failed::numbered(failed).into_iter().map(|(_, line)| line).collect();
        out.push_str(&block("dockerfile", &lines));
    }
    for test in build.tests.iter().filter(|test| !test.passed) {
        let error = test.error.as_deref().unwrap_or("it failed");
        out.push_str(&format!("- test {}: {}\n\n", code(&escape(&test.test)), code(&escape(error))));
    }
    if !build.log_tail.is_empty() {
        let lines: Vec<String> = build.log_tail.iter().map(|line| escape_output(line).into_owned()).collect();
        let block = block("text", &lines);
        out.push_str(&format!(
            "<details><summary>The last lines of its log</summary>\n\n{block}</details>\n\n"
        ));
    }
    if let (Outcome::Failed, Some(log)) = (build.outcome, &build.log) {
        out.push_str(&format!("Whole log: {}\n\n", code(&escape(log))));
    }
    out
}

/// Lists every image with its names, to be copied.
fn names(result: &RunResult) -> String {
    let mut out = String::new();
    for build in result.builds.iter().filter(|build| !build.tags.is_empty()) {
        for tag in &build.tags {
            let pushed = if build.pushed.contains(tag) || !result.push { "" } else { " (not pushed)" };
            out.push_str(&format!("- {}{pushed}\n", code(&escape(tag))));
        }
        if let Some(digest) = &build.digest {
            out.push_str(&format!("  {}\n", code(&escape(digest))));
        }
    }
    if out.is_empty() {
        return out;
    }
    format!("<details><summary>Names</summary>\n\n{out}\n</details>\n")
}

/// Formats the ids in the text of a slowest path as code.
fn code_ids(words: &str) -> String {
    match words.split_once(" for ") {
        Some((before, path)) => {
            let ids: Vec<String> = path
                .split(" → ")
                .map(|id| if id.ends_with(" more") { id.to_owned() } else { code(id) })
                .collect();
            format!("{before} for {}", ids.join(" → "))
        }
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::sample;

    #[test]
    fn a_page_for_a_merge_request() {
        let (plan, result) = sample::run();
        insta::assert_snapshot!(text(&result, &plan), @r"
        ## ❌ image-builder: not done in 1 min 20 s: of 4 builds, 1 built, 1 reused, 1 failed, 1 skipped

        Commit `abcdef0`, pushed to `registry.example.org/x`, `linux/amd64`.

        ### `rel/sky:1.0` failed

        ```text
        executor failed running [/bin/sh -c make | tee `log` <x>]: exit code: 2
        ```

        At `compat/jupyter/Dockerfile:9`:

        ```dockerfile
        RUN make \
            | tee `log` <x>
        ```

        <details><summary>The last lines of its log</summary>

        ````text
        cc x.c
        ```\x1b[31m ]]> error\u{202e}
        ````

        </details>

        Whole log: `.image-builder/runs/20261120-120000-0a1b2c/003-rel-sky-1.0.log`

        | build | outcome | time | size | change | layers | tests |
        | --- | --- | ---: | ---: | ---: | --- | --- |
        | `science/base` | ♻️ reused |  | 333.0 MB |  |  |  |
        | `science/sky` | ✅ built | 34 s | 333.0 MB | +12.3 MB | 14, 9 kept | 1 passed |
        | `rel/sky:1.0` | ❌ failed | 3.0 s |  |  |  |  |
        | `rel/sea:1.0` | ⏭️ skipped: `rel/sky:1.0 failed` |  |  |  |  |  |

        Change and layers: beside what the moving tag showed in the registry, compressed as it is stored there.

        The slowest path: 37 s for `science/sky` → `rel/sky:1.0`.

        <details><summary>Names</summary>

        - `registry.example.org/x/sci/base:1.0-2-abcdef0`
        - `registry.example.org/x/sci/base:1.0`
          `sha256:0123`
        - `registry.example.org/x/sci/sky:1.0-2-abcdef0`
        - `registry.example.org/x/sci/sky:1.0`
          `sha256:0123`

        </details>
        ");
    }

    #[test]
    fn a_run_that_did_not_begin_says_why() {
        let build = sample::planned("science/a", &[]);
        let mut result = sample::result(false, vec![sample::ended(&build, Outcome::Cancelled)]);
        (result.error, result.push) = (Some("no engine\nhere".to_owned()), false);
        insta::assert_snapshot!(text(&result, &sample::plan(vec![build])), @r"
        ## ❌ image-builder: not done in 1 min 20 s: of 1 build, 1 cancelled

        ```text
        no engine\nhere
        ```

        Commit `abcdef0`, not pushed; named under `registry.example.org/x`, `linux/amd64`.

        | build | outcome | time | size | change | layers |
        | --- | --- | ---: | ---: | ---: | --- |
        | `science/a` | ⏭️ cancelled |  |  |  |  |
        ");
    }
}
