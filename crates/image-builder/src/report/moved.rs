//! The packages that moved in a run, for people: what each image has that the published one had not.

use executor::RunResult;
use inside::Move;

use super::diff;
use super::markdown::{code, row};
use super::words::Paint;
use crate::escape::escape;

/// How many packages of an image are shown; `result.json` has them all.
const SHOWN: usize = 25;
/// A page has so many of a run; what takes such pages is a comment of 64 kB at most.
const ROWS: usize = 200;
/// So many stand open on a page; more are folded.
const OPEN: usize = 12;

/// The text for stderr, below the summary; empty when nothing moved, or nobody looked.
pub(crate) fn text(result: &RunResult, paint: Paint) -> String {
    let mut out = String::new();
    for build in result.builds.iter().filter(|build| !build.moved.is_empty()) {
        let title = format!("packages moved in {}: {}", escape(&build.id.0), diff::counted(&build.moved));
        out.push_str(&format!("\n{}\n", paint.bold(&title)));
        let shown = &build.moved[..build.moved.len().min(SHOWN)];
        out.push_str(&diff::moves(shown, 2, paint));
        if build.moved.len() > SHOWN {
            out.push_str(&format!("  and {} more, in result.json\n", build.moved.len() - SHOWN));
        }
    }
    out
}

/// The same as a table in Markdown, folded when it is long.
pub(crate) fn markdown(result: &RunResult) -> String {
    let all: Vec<(&str, &Move)> = result
        .builds
        .iter()
        .flat_map(|build| build.moved.iter().map(|one| (build.id.0.as_str(), one)))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let images = all.chunk_by(|(a, _), (b, _)| a == b).count();
    let moves: Vec<Move> = all.iter().map(|(_, one)| (*one).clone()).collect();
    let title = match images {
        1 => format!("Packages moved: {}", diff::counted(&moves)),
        images => format!("Packages moved in {images} images: {}", diff::counted(&moves)),
    };
    let mut table = "| image | kind | package | before | now |\n| --- | --- | --- | --- | --- |\n".to_owned();
    let mut last = "";
    for (id, one) in all.iter().take(ROWS) {
        let image = if *id == last { String::new() } else { code(&escape(id)) };
        last = id;
        let place = match one.place.as_str() {
            "" => String::new(),
            place => format!(" in {}", code(&format!("/{}", escape(place)))),
        };
        let versions = |versions: &[String], none: &str| match versions {
            [] => none.to_owned(),
            some => code(&escape(&some.join(", "))),
        };
        table.push_str(&row(&[
            image,
            format!("{}{place}", diff::kind(one.ecosystem)),
            code(&escape(&one.name)),
            versions(&one.from, "new"),
            versions(&one.to, "gone"),
        ]));
    }
    if all.len() > ROWS {
        table.push_str(&format!("\nAnd {} more, in {}.\n", all.len() - ROWS, code("result.json")));
    }
    match all.len() > OPEN {
        true => format!("<details><summary>{title}</summary>\n\n{table}\n</details>\n\n"),
        false => format!("### {title}\n\n{table}\n"),
    }
}

#[cfg(test)]
mod tests {
    use inside::{Ecosystem, Move};

    use super::*;
    use crate::report::sample;

    fn one(ecosystem: Ecosystem, name: String, from: &str, to: &str) -> Move {
        let versions = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Move {
            ecosystem,
            place: if ecosystem == Ecosystem::Python { "opt/v".to_owned() } else { String::new() },
            name,
            from: versions(from),
            to: versions(to),
        }
    }

    #[test]
    fn a_table_for_a_merge_request_is_folded_when_it_is_long() {
        let mut result = sample::run().1;
        assert_eq!(markdown(&result), "");
        result.builds[0].moved = vec![
            one(Ecosystem::Dpkg, "libc6".to_owned(), "2.36-9", "2.36-10"),
            one(Ecosystem::Python, "num|py`".to_owned(), "1.26.4", "2.0.0 2.1.0"),
        ];
        result.builds[1].moved = vec![
            one(Ecosystem::R, "ggplot2".to_owned(), "", "3.5"),
            one(Ecosystem::Rpm, "a".to_owned(), "1", ""),
        ];
        insta::assert_snapshot!(markdown(&result), @r"
        ### Packages moved in 2 images: 2 changed, 1 new, 1 gone

        | image | kind | package | before | now |
        | --- | --- | --- | --- | --- |
        | `science/base` | dpkg | `libc6` | `2.36-9` | `2.36-10` |
        |  | python in `/opt/v` | `` num\|py` `` | `1.26.4` | `2.0.0, 2.1.0` |
        | `science/sky` | R | `ggplot2` | new | `3.5` |
        |  | rpm | `a` | `1` | gone |
        ");
        result.builds[1].moved =
            (0..240).map(|n| one(Ecosystem::Dpkg, format!("lib{n:03}"), "1", "2")).collect();
        let long = markdown(&result);
        let lines: Vec<&str> = long.trim_end().lines().collect();
        assert_eq!(
            lines[..3],
            [
                "<details><summary>Packages moved in 2 images: 242 changed</summary>",
                "",
                "| image | kind | package | before | now |"
            ]
        );
        assert_eq!(lines[lines.len() - 4..], ["", "And 42 more, in `result.json`.", "", "</details>"]);
        assert!(long.len() < 16 << 10, "{}", long.len());
    }

    #[test]
    fn what_moved_is_told_for_each_image() {
        let mut result = sample::run().1;
        assert_eq!(text(&result, Paint::Plain), "");
        result.builds[0].moved =
            (0..24).map(|n| one(Ecosystem::Dpkg, format!("lib{n:02}"), "1", "2")).collect();
        result.builds[0].moved.extend(
            ["numpy", "scipy"].map(|name| one(Ecosystem::Python, name.to_owned(), "1.26.4", "2.0.0")),
        );
        let shown = text(&result, Paint::Plain);
        let lines: Vec<&str> = shown.lines().collect();
        let id = &result.builds[0].id;
        let head = format!("packages moved in {id}: 26 changed");
        assert_eq!(lines[..4], ["", head.as_str(), "  dpkg", "    ~ lib00  1 → 2"]);
        let tail = ["  python in /opt/v", "    ~ numpy  1.26.4 → 2.0.0", "  and 1 more, in result.json"];
        assert_eq!(lines[lines.len() - 3..], tail);
    }
}
