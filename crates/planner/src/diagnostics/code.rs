//! The codes of all findings, with a one-line description of each.
//!
//! A code never changes its meaning: configurations, CI systems and notes refer to it.

use crate::views::suggest;

/// Every code with its description, sorted.
pub const CODES: [(&str, &str); 80] = [
    ("arg-secret", "a build argument looks like a secret"),
    ("arguments", "an instruction lacks arguments, or has invalid ones"),
    ("bad-link", "a link's target is not text"),
    ("bad-path", "a path is not UTF-8"),
    ("bad-reference", "what names an image is not a reference"),
    ("bare-target", "a layer is named without `sci/`"),
    ("base-unreadable", "parts of the base of the comparison cannot be parsed"),
    ("buildkit-argument", "a build argument steers the builder itself"),
    ("compat-shadowed", "a file of a compat layer replaces that of another in one stack"),
    ("config-key", "a key of image-builder.toml is unknown"),
    ("config-syntax", "image-builder.toml is not TOML"),
    ("config-value", "a value of image-builder.toml is not valid"),
    ("copy-source", "COPY or ADD names a file that the context does not have"),
    ("cycle", "layers need each other"),
    ("descriptor-field", "a field of a descriptor is unknown or missing"),
    ("descriptor-syntax", "a descriptor is not JSON with comments"),
    ("descriptor-value", "a value of a descriptor is not valid"),
    ("directive", "a parser directive stands twice or has an unknown value"),
    ("duplicate-target", "two layers have one target"),
    ("external-like-layer", "an external image has the name of a layer"),
    ("file-over-directory", "a path is a file in one layer of a stack and a directory in another"),
    ("filtered-file", "a filter of this machine gave a file other bytes than the commit holds"),
    ("flag", "an instruction has a flag that no builder accepts"),
    ("fragment-directive", "a compat fragment has a parser directive"),
    ("fragment-from", "a compat fragment has a FROM"),
    ("fragment-open", "a compat fragment ends in a continuation"),
    ("from", "a FROM has more or less than one image"),
    ("from-rel", "a science layer is based on a product"),
    ("from-unpinned", "an external image is not pinned by digest"),
    ("from-unqualified", "an external image does not name its registry"),
    ("from-unversioned", "an external image names no version"),
    ("frontend", "a `# syntax=` frontend is not allowed"),
    ("heredoc-open", "a heredoc has no end"),
    ("ignore-pattern", "a pattern of .dockerignore cannot be read"),
    ("include-cycle", "compat layers include each other"),
    ("instruction", "a word is not an instruction of a Dockerfile"),
    ("label-overridden", "a Dockerfile sets a label that image-builder sets"),
    ("layer-at-root", "a descriptor is in science/ or compat/ itself"),
    ("lfs-pointer", "a file of Git LFS was not pulled"),
    ("long-line", "a line is longer than builders read"),
    ("merge-conflict", "a file has an open merge conflict"),
    ("mount", "a mount has a key or value that no builder accepts"),
    ("nested-layer", "a layer is inside another"),
    ("nested-repository", "a layer contains a git repository that is not a submodule"),
    ("no-compat", "a product ends without a compat"),
    ("no-descriptor", "a directory with a Dockerfile is not a layer"),
    ("no-dockerfile", "a layer has no Dockerfile"),
    ("no-from", "a Dockerfile does not begin with FROM"),
    ("no-such-layer", "a flag names no layer"),
    ("not-in-git", "a layer or the configuration is on disk but not in git"),
    ("not-utf8", "a text is not UTF-8"),
    ("onbuild", "a trigger is not allowed"),
    ("onbuild-inherited", "a layer is based on one with triggers"),
    ("orphan", "a product of the base would be lost"),
    ("product", "a flag names no product"),
    ("quoted", "the name of an image contains quotes or escapes"),
    ("reference", "what names an image is not a reference"),
    ("repo", "a flag names no repo"),
    ("repository-too-long", "the name of a repository is too long for registries"),
    ("several-finals", "a product has several final layers"),
    ("silent-downgrade", "a product would lose what its final layer had"),
    ("similar-names", "names differ in case or Unicode form only"),
    ("stage", "a stage is not above, or named by a number"),
    ("stage-name", "a name is none for a stage"),
    ("submodule", "a submodule's files are not there"),
    ("substitution", "a variable stands in a form that no builder reads"),
    ("symlink", "a link stands where a file or directory of the tree must be"),
    ("tag-too-long", "a build tag is too long for registries"),
    ("test-script", "a script that a test names cannot be used"),
    ("too-large", "a text is larger than 1 MiB"),
    ("unknown-compat", "a compat layer that is named does not exist"),
    ("unknown-include", "a compat layer that is included does not exist"),
    ("unknown-reference", "a reference depends on a variable without a value"),
    ("unknown-target", "a layer that is named does not exist"),
    ("unset-argument", "a variable in FROM has no value and is not declared"),
    ("unversioned-layer", "a layer is named without a version"),
    ("variable", "a variable is used where docker expands none"),
    ("version-below", "a layer is based on a higher version of the same image"),
    ("version-gone", "the tree has a layer at another version"),
    ("version-unquoted", "a version is a number without quotes"),
];

/// Returns the description of a code; `None` for an unknown one.
#[must_use]
pub fn summary(code: &str) -> Option<&'static str> {
    let at = CODES.binary_search_by(|(known, _)| (*known).cmp(code)).ok()?;
    Some(CODES[at].1)
}

/// Returns the code that was probably meant, if one is close.
#[must_use]
pub fn closest(word: &str) -> Option<&'static str> {
    suggest::closest(word, CODES.iter().map(|(code, _)| *code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::config::GUIDELINES;

    #[test]
    fn codes_are_sorted_and_hold_every_guideline() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        for (code, _) in GUIDELINES {
            assert!(summary(code).is_some(), "{code}");
        }
    }
}
