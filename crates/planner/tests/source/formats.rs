//! Repository formats that git reads and libgit2 does not: the error suggests a remedy.

use planner::git::{Options, SourceError, open};

use crate::commit_bytes::{Clones, run};

#[test]
fn case_git_formats_without_remedy_each_has_one() {
    for (format, make, remedy) in [
        (
            "a sparse index",
            &["sparse-checkout", "set", "--cone", "--sparse-index", "science"][..],
            "git sparse-checkout reapply --no-sparse-index",
        ),
        ("a split index", &["update-index", "--split-index"], "git update-index --no-split-index"),
        (
            "a reftable",
            &["config", "extensions.refStorage", "reftable"],
            "git refs migrate --ref-format=files",
        ),
        (
            "a partial clone",
            &["config", "extensions.partialClone", "origin"],
            "git config --unset extensions.partialClone",
        ),
        ("SHA-256", &["config", "extensions.objectFormat", "sha256"], "--object-format=sha1"),
        ("a format of tomorrow", &["config", "extensions.tomorrow", "x"], "a newer format"),
    ] {
        let (_clones, first) = Clones::new();
        first.write("other/deep/file", "1\n");
        first.commit();
        run(&first.root, &["config", "core.repositoryFormatVersion", "1"]);
        run(&first.root, make);
        let error = open(&Options { start: first.root.clone(), ..Options::default() }).unwrap_err();
        assert!(matches!(error, SourceError::Git { .. }), "{format}: {error}");
        let help = error.help().unwrap_or_default();
        assert!(help.contains(remedy), "{format}: {help}");
        assert!(std::error::Error::source(&error).is_none(), "the message holds the cause: {error}");
    }
}
