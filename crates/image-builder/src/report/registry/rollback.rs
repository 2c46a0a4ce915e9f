//! Reports a rollback: its preview, the builds to choose from, and how to keep the next build from
//! undoing it.

use std::time::{Duration, UNIX_EPOCH};

use executor::promote::MoveState;
use executor::rollback::{Candidate, Rollback, Tag};

use crate::cli::escape::escape;
use crate::report::text::columns::{Colour, plain, table};
use crate::report::text::format::{Paint, list};

/// The preview of a rollback, or its result.
pub(crate) fn outlook(rollback: &Rollback, paint: Paint) -> String {
    let head = format!(
        "{} in {} goes to {}\n\n",
        paint.bold(&escape(&rollback.product)),
        escape(&rollback.repo),
        escape(&rollback.build_tag)
    );
    let rows: Vec<Vec<(String, Colour)>> = rollback.tags.iter().map(row).collect();
    let lines: String =
        table(&rows, &[], paint).lines().map(|line| format!("  {}\n", line.trim_end())).collect();
    format!("{head}{lines}")
}

fn row(tag: &Tag) -> Vec<(String, Colour)> {
    let shows = tag.shows.as_deref().unwrap_or("nothing");
    let what = match tag.state {
        MoveState::Kept => format!("shows {} already", tag.build_tag),
        _ => format!("shows {shows}, will show {}", tag.build_tag),
    };
    vec![
        (escape(&tag.name).into_owned(), Paint::bold),
        (escape(&what).into_owned(), if tag.state == MoveState::Kept { Paint::dim } else { plain }),
    ]
}

/// The outcome of each tag.
pub(crate) fn ended(rollback: &Rollback, paint: Paint) -> String {
    let mut out = String::new();
    for tag in &rollback.tags {
        let name = escape(&tag.name);
        let line = match (tag.state, &tag.error) {
            (MoveState::Moved, None) => {
                format!("{name}: {} {}", paint.green("shows"), escape(&tag.build_tag))
            }
            (MoveState::Kept, _) => format!("{name}: shows {} already", escape(&tag.build_tag)),
            (MoveState::PutBack, _) => {
                format!("{name}: {}", paint.yellow("put back to what it showed, or to a newer build"))
            }
            (MoveState::Skipped | MoveState::ToMove, _) => {
                format!("{name}: {}", paint.yellow("left as it was"))
            }
            (_, Some(error)) => format!("{name}: {}: {}", paint.red("failed"), escape(error)),
            (MoveState::Failed, None) => format!("{name}: {}", paint.red("failed")),
        };
        out.push_str(&format!("{line}\n"));
    }
    out
}

/// The builds to choose from.
pub(crate) fn candidates(found: &[Candidate], paint: Paint) -> String {
    let row = |build: &Candidate| -> Vec<(String, Colour)> {
        let built = build.built.filter(|built| (0.0..4e9).contains(built));
        let built = built.map_or_else(String::new, |built| {
            let time = UNIX_EPOCH + Duration::from_secs(built as u64);
            let time = humantime::format_rfc3339_seconds(time).to_string();
            format!("built {} UTC", time.replace('T', " ").trim_end_matches('Z'))
        });
        vec![
            (escape(&build.build_tag).into_owned(), Paint::bold),
            (format!("commit {}", escape(&build.commit)), plain),
            (built, plain),
            (if build.shown { "is shown now".to_owned() } else { String::new() }, Paint::green),
        ]
    };
    let rows: Vec<Vec<(String, Colour)>> = found.iter().map(row).collect();
    table(&rows, &[], paint).lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

/// How to keep the next build from undoing it, and the consequences for other products. `line` is
/// the configuration's, unless the product is held already.
pub(crate) fn hold(product: &str, line: Option<&str>, others: &[String], paint: Paint) -> String {
    let mut out = match line {
        None => {
            format!("{} is under `hold` in image-builder.toml: no build moves these tags\n", escape(product))
        }
        Some(line) => format!(
            "the next build of {} moves these tags forward again. To keep them, write this line into image-builder.toml at the \
             root of the source tree, above every [section], and commit it:\n\n    {}\n\n",
            escape(product),
            paint.bold(&escape(line))
        ),
    };
    if !others.is_empty() {
        let (are, it) = if others.len() == 1 { ("is", "it") } else { ("are", "them") };
        out.push_str(&format!(
            "{} {are} based on these layers: the next --since-published builds {it} on the image shown then; hold {it} too, or roll {it} back\n",
            list(others)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_to_choose_from_have_their_commit_and_time() {
        let build = |build_tag: &str, built, shown| Candidate {
            build_tag: build_tag.to_owned(),
            commit: "aaaaaaa".to_owned(),
            built,
            shown,
        };
        let found =
            [build("1.0-7-aaaaaaa-r2", Some(1_700_000_021.5), true), build("1.0-7-aaaaaaa", None, false)];
        assert_eq!(
            candidates(&found, Paint::Plain),
            "  1.0-7-aaaaaaa-r2  commit aaaaaaa  built 2023-11-14 22:13:41 UTC  is shown now\n  \
             1.0-7-aaaaaaa     commit aaaaaaa\n"
        );
    }

    #[test]
    fn the_line_to_write_is_told_and_who_is_touched() {
        let report = hold("sky:2.0", Some("hold = [\"sky:2.0\"]"), &["spectra:1.0".to_owned()], Paint::Plain);
        assert!(report.contains("\n\n    hold = [\"sky:2.0\"]\n\n"), "{report}");
        assert!(report.contains("spectra:1.0 is based on these layers"), "{report}");
        let held = hold("sky:2.0", None, &[], Paint::Plain);
        assert_eq!(held, "sky:2.0 is under `hold` in image-builder.toml: no build moves these tags\n");
    }
}
