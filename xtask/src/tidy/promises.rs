//! Checks that the tests that `RELIABILITY.md` names for each promise exist, and that the page
//! omits no fault and no invariant.

use std::collections::BTreeSet;

use super::File;

const PAGE: &str = "RELIABILITY.md";

/// Numbers of faults and of invariants that the page must contain.
const FAULTS: u32 = 62;
const INVARIANTS: u32 = 10;

pub(super) fn findings(files: &[File]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![format!("{PAGE}: is missing")];
    };
    let tests = test_names(files);
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for (number, line) in page.text.lines().enumerate() {
        let Some(label) = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next()) else { continue };
        if !is_label(label) {
            continue;
        }
        told.insert(label.to_owned());
        // A last column in words gives the reason why there is no test.
        let last = line.trim_end_matches(['|', ' ']).rsplit(" | ").next().unwrap_or_default();
        if let Some(why) = last.strip_prefix("none: ") {
            if why.trim().is_empty() {
                findings.push(format!("{PAGE}:{}: {label} says no reason", number + 1));
            }
            continue;
        }
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            findings.push(format!("{PAGE}:{}: {label} names no test", number + 1));
        }
        for name in named.iter().filter(|name| !tests.contains(**name)) {
            findings.push(format!("{PAGE}:{}: there is no test {name}", number + 1));
        }
    }
    let wanted =
        (1..=FAULTS).map(|row| row.to_string()).chain((1..=INVARIANTS).map(|number| format!("I{number}")));
    findings.extend(
        wanted.filter(|label| !told.contains(label)).map(|label| format!("{PAGE}: nothing on {label}")),
    );
    findings
}

fn is_label(text: &str) -> bool {
    let digits = text.strip_prefix('I').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the names of the functions that are marked as tests.
fn test_names(files: &[File]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let mut marked = false;
        let mut in_proptest = false;
        for line in file.text.lines() {
            let line = line.trim_start();
            in_proptest |= line.starts_with("proptest!");
            marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(name) = function.and_then(|rest| rest.split(['(', '<']).next()) {
                if marked || in_proptest {
                    names.insert(name);
                }
                marked = false;
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn every_promise_names_a_test_that_is_there() {
        let mut page = "| # | promise | test |\n| --- | --- | --- |\n".to_owned();
        for row in 1..=FAULTS {
            page.push_str(&format!("| {row} | x | `keeps_it`, `also` |\n"));
        }
        for number in 1..=INVARIANTS {
            page.push_str(&format!("| I{number} | x | `keeps_it` |\n"));
        }
        let code = "#[test]\nfn keeps_it() {}\n#[tokio::test]\nasync fn also() {}\nfn helper() {}\n";
        let check = |page: &str| findings(&[file(PAGE, page), file("a.rs", code)]);
        assert_eq!(check(&page), Vec::<String>::new());
        let wrong = page
            .replace("| 7 | x | `keeps_it`, `also` |\n", "")
            .replace("| 8 | x | `keeps_it`, `also` |", "| 8 | x | `helper` |")
            .replace("| 9 | x | `keeps_it`, `also` |", "| 9 | x | soon |")
            .replace("| I3 | x | `keeps_it` |", "| I3 | x | none: the kernel cannot |");
        assert_eq!(
            check(&wrong),
            [
                "RELIABILITY.md:9: there is no test helper",
                "RELIABILITY.md:10: 9 names no test",
                "RELIABILITY.md: nothing on 7"
            ]
        );
    }
}
