//! The packages that moved in a run, for people: what each image has that the published one had not.

use executor::RunResult;

use super::diff;
use super::words::Paint;
use crate::escape::escape;

/// How many packages of an image are shown; `result.json` has them all.
const SHOWN: usize = 25;

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

#[cfg(test)]
mod tests {
    use inside::{Ecosystem, Move};

    use super::*;
    use crate::report::sample;

    #[test]
    fn what_moved_is_told_for_each_image() {
        let one = |ecosystem, name: String, from: &str, to: &str| Move {
            ecosystem,
            place: if ecosystem == Ecosystem::Python { "opt/v".to_owned() } else { String::new() },
            name,
            from: vec![from.to_owned()],
            to: vec![to.to_owned()],
        };
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
