//! Shows the packages that changed in a run, compared with the published images.

use executor::{BuildResult, RunResult};
use image_contents::Move;

use crate::cli::escape::escape;
use crate::report::image::diff;
use crate::report::text::format::Paint;
use crate::report::text::markdown::{code, row};

/// How many packages of an image are shown; `result.json` has them all.
const SHOWN: usize = 25;
/// Most rows on a page; CI systems show such a page in a comment of at most 64 kB.
const ROWS: usize = 200;
/// Most rows that a page shows unfolded.
const OPEN: usize = 12;

/// The text for stderr, below the summary; empty if no package changed or none were compared.
pub(crate) fn text(result: &RunResult, paint: Paint) -> String {
    let mut out = String::new();
    for (build, earlier) in builds(result) {
        let id = escape(&build.id.0);
        if let Some(earlier) = earlier {
            let title = format!("packages changed in {id}: the same as in {}", escape(&earlier.id.0));
            out.push_str(&format!("\n{}\n", paint.bold(&title)));
            continue;
        }
        let title = format!("packages changed in {id}: {}", diff::counted(&build.moved));
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
    let (mut rows, mut moves) = (Vec::new(), Vec::new());
    let builds = builds(result);
    for (build, earlier) in &builds {
        let mut image = code(&escape(&build.id.0));
        if let Some(earlier) = earlier {
            let same = format!("the same as in {}", code(&escape(&earlier.id.0)));
            rows.push([image, same, String::new(), String::new(), String::new()]);
            continue;
        }
        for one in &build.moved {
            rows.push(cells(std::mem::take(&mut image), one));
        }
        moves.extend(build.moved.iter().cloned());
    }
    if rows.is_empty() {
        return String::new();
    }
    let title = match builds.len() {
        1 => format!("Packages changed: {}", diff::counted(&moves)),
        images => format!("Packages changed in {images} images: {}", diff::counted(&moves)),
    };
    let mut table = "| image | kind | package | before | now |\n| --- | --- | --- | --- | --- |\n".to_owned();
    table.extend(rows.iter().take(ROWS).map(|cells| row(cells)));
    if rows.len() > ROWS {
        table.push_str(&format!("\nAnd {} more, in {}.\n", rows.len() - ROWS, code("result.json")));
    }
    match rows.len() > OPEN {
        true => format!("<details><summary>{title}</summary>\n\n{table}\n</details>\n\n"),
        false => format!("### {title}\n\n{table}\n"),
    }
}

/// The cells of a package's row; `image` is empty in all but the first row of an image.
fn cells(image: String, one: &Move) -> [String; 5] {
    let place = match one.place.as_str() {
        "" => String::new(),
        place => format!(" in {}", code(&format!("/{}", escape(place)))),
    };
    let versions = |versions: &[String], none: &str| match versions {
        [] => none.to_owned(),
        some => code(&escape(&some.join(", "))),
    };
    let kind = format!("{}{place}", diff::kind(one.ecosystem));
    [image, kind, code(&escape(&one.name)), versions(&one.from, "new"), versions(&one.to, "gone")]
}

/// Every build with package changes, and an earlier one with the same changes, if any: a change in
/// a layer appears in all of its descendants.
fn builds(result: &RunResult) -> Vec<(&BuildResult, Option<&BuildResult>)> {
    let moved: Vec<&BuildResult> = result.builds.iter().filter(|build| !build.moved.is_empty()).collect();
    let earlier = |at: usize| moved[..at].iter().find(|earlier| earlier.moved == moved[at].moved).copied();
    (0..moved.len()).map(|at| (moved[at], earlier(at))).collect()
}

#[cfg(test)]
mod tests {
    use image_contents::{Ecosystem, Move};

    use super::*;
    use crate::report::run::sample;

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
        let as_well = result.builds[1].moved.clone();
        result.builds[2].moved = as_well;
        let as_before = "packages changed in rel/sky:1.0: the same as in science/sky\n";
        assert!(text(&result, Paint::Plain).ends_with(as_before));
        insta::assert_snapshot!(markdown(&result), @r"
        ### Packages changed in 3 images: 2 changed, 1 new, 1 gone

        | image | kind | package | before | now |
        | --- | --- | --- | --- | --- |
        | `science/base` | dpkg | `libc6` | `2.36-9` | `2.36-10` |
        |  | python in `/opt/v` | `` num\|py` `` | `1.26.4` | `2.0.0, 2.1.0` |
        | `science/sky` | R | `ggplot2` | new | `3.5` |
        |  | rpm | `a` | `1` | gone |
        | `rel/sky:1.0` | the same as in `science/sky` |  |  |  |
        ");
        result.builds[2].moved.clear();
        result.builds[1].moved =
            (0..240).map(|n| one(Ecosystem::Dpkg, format!("lib{n:03}"), "1", "2")).collect();
        let long = markdown(&result);
        let lines: Vec<&str> = long.trim_end().lines().collect();
        assert_eq!(
            lines[..3],
            [
                "<details><summary>Packages changed in 2 images: 242 changed</summary>",
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
        let head = format!("packages changed in {id}: 26 changed");
        assert_eq!(lines[..4], ["", head.as_str(), "  dpkg", "    ~ lib00  1 → 2"]);
        let tail = ["  python in /opt/v", "    ~ numpy  1.26.4 → 2.0.0", "  and 1 more, in result.json"];
        assert_eq!(lines[lines.len() - 3..], tail);
    }
}
