//! The commits that changed files, and the commit since which files differ.

use std::collections::BTreeSet;

use git2::Oid;
use planner::git::{Since, first_touched, touched};

use crate::history::History;

/// Returns the message of the first commit after `from` since which paths differ.
fn first(history: &History, from: Oid, to: Oid, paths: &[&str]) -> Option<String> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let since = Since { commit: from.to_string()[..7].to_owned(), paths };
    let mut answers =
        first_touched(&history.root(), &to.to_string(), &BTreeSet::from([since.clone()])).unwrap();
    answers.remove(&since).unwrap().map(|touched| touched.summary)
}

#[test]
fn the_first_commit_that_left_its_mark_is_found() {
    let history = History::small();
    let from = history.commit("from");
    history.write("compat/c/file", "tried\n");
    history.commit("tried");
    history.write("compat/c/file", "contents\n");
    history.commit("taken back");
    history.write("science/a/file", "other\n");
    history.commit("elsewhere");
    history.write("compat/c/file", "better\n");
    history.commit("better");
    history.write("compat/c/file", "best\n");
    history.remove("compat/c/Dockerfile");
    history.write("compat/c/new", "new\n");
    let to = history.commit("best");
    for (paths, expect) in [
        (&["compat/c/file"][..], Some("better")),
        (&["compat/c/Dockerfile"], Some("best")),
        (&["compat/c/new", "compat/c/Dockerfile"], Some("best")),
        (&["compat/c/new", "science/a/file"], Some("elsewhere")),
        (&["science/a/Dockerfile", "science/none"], None),
    ] {
        assert_eq!(first(&history, from, to, paths).as_deref(), expect, "{paths:?}");
    }
    assert_eq!(first(&history, to, to, &["compat/c/file"]), None);
    let paths = ["compat/c/file".to_owned()];
    let all = touched(&history.root(), (&from.to_string(), &to.to_string()), &paths, 2).unwrap();
    let summaries: Vec<&str> = all.iter().map(|touched| touched.summary.as_str()).collect();
    assert_eq!(summaries, ["best", "better"]);
}

#[test]
fn a_merge_counts_for_what_it_changed_itself() {
    let history = History::small();
    let from = history.commit("from");
    history.write("science/a/file", "other\n");
    let left = history.commit_on("left", &[from]);
    history.write("science/a/file", "contents\n");
    history.write("compat/c/file", "better\n");
    let right = history.commit_on("right", &[from]);
    history.write("science/a/file", "other\n");
    let merge = history.commit_on("merge", &[left, right]);
    assert_eq!(first(&history, from, merge, &["compat/c/file"]).as_deref(), Some("right"));
    assert_eq!(first(&history, left, merge, &["compat/c/file"]).as_deref(), Some("right"));
    history.write("compat/c/file", "of the merge alone\n");
    let evil = history.commit_on("evil", &[left, right]);
    assert_eq!(first(&history, right, evil, &["compat/c/file"]).as_deref(), Some("evil"));
}
