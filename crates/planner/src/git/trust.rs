//! Trusts repositories of other owners by `safe.directory`, in the forms that git accepts and
//! libgit2 does not: `dir/*` (git 2.46), a `/` at the end, `GIT_CONFIG_GLOBAL` and
//! `GIT_CONFIG_COUNT`.
//!
//! Reads only the user's and the system's configuration, never that of the repository.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use git2::{Config, ErrorCode, Repository, RepositoryOpenFlags};
use parking_lot::Mutex;

/// Locked while a repository is opened: libgit2's switch for the check of owners is global to all
/// threads.
static OPENING: Mutex<()> = Mutex::new(());

/// Opens the repository of a directory that contains `.git`, if it belongs to the current user or
/// is trusted.
pub(super) fn open(dir: &Path) -> Result<Repository, git2::Error> {
    let nowhere: [&Path; 0] = [];
    let open = || Repository::open_ext(dir, RepositoryOpenFlags::NO_SEARCH, nowhere);
    let _alone = OPENING.lock();
    match open() {
        Err(error) if error.code() == ErrorCode::Owner && is_trusted(dir) => {
            check_owners(false)?;
            let opened = open();
            check_owners(true)?;
            opened
        }
        opened => opened,
    }
}

#[expect(unsafe_code, reason = "libgit2's switch is global; no other repository is opened meanwhile")]
fn check_owners(checks: bool) -> Result<(), git2::Error> {
    unsafe { git2::opts::set_verify_owner_validation(checks) }
}

fn is_trusted(dir: &Path) -> bool {
    let home = env::var_os("HOME").map(PathBuf::from);
    trusts(values(), dir, home.as_deref())
}

/// Returns every value of `safe.directory`, in the order in which git reads them.
fn values() -> Vec<String> {
    let mut values = Vec::new();
    let global = env::var_os("GIT_CONFIG_GLOBAL").filter(|path| !path.is_empty());
    let configuration = match &global {
        Some(path) => Config::open(Path::new(path)),
        None => Config::open_default(),
    };
    if let Ok(configuration) = configuration
        && let Ok(entries) = configuration.multivar("safe.directory", None)
    {
        // An entry that is not text cannot name a directory.
        let _ = entries.for_each(|entry| values.extend(entry.value().ok().map(str::to_owned)));
    }
    let text = |name: String| env::var_os(name).map(OsString::into_string).and_then(Result::ok);
    let count: usize = text("GIT_CONFIG_COUNT".to_owned()).and_then(|count| count.parse().ok()).unwrap_or(0);
    for at in 0..count.min(1000) {
        let is_meant = text(format!("GIT_CONFIG_KEY_{at}"))
            .is_some_and(|key| key.eq_ignore_ascii_case("safe.directory"));
        values.extend(text(format!("GIT_CONFIG_VALUE_{at}")).filter(|_| is_meant));
    }
    values
}

/// Whether values of `safe.directory` name a directory, as in git's setup.c: an empty value resets
/// the ones before it.
fn trusts(values: impl IntoIterator<Item = String>, dir: &Path, home: Option<&Path>) -> bool {
    values.into_iter().fold(false, |trusted, value| match value.as_str() {
        "" => false,
        "*" => true,
        value => {
            let full = match (value.strip_prefix("~/"), home) {
                (Some(below), Some(home)) => home.join(below),
                _ => PathBuf::from(value),
            };
            let is_below = full.ends_with("*")
                && full
                    .parent()
                    .is_some_and(|above| above.is_absolute() && dir != above && dir.starts_with(above));
            // Compare components, so that a trailing slash is ignored.
            trusted || is_below || full.is_absolute() && full == dir
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_clean_to_git_not_here_directories_are_trusted_in_every_form_of_git() {
        let home = Path::new("/home/me");
        for (values, expect) in [
            (&["/ci/tree"][..], true),
            (&["/ci/tree/"], true),
            (&["/ci/*"], true),
            (&["/*"], true),
            (&["*"], true),
            (&["~/../../ci/tree"], false),
            (&["/ci"], false),
            (&["/ci/tree/*"], false),
            (&["/c*"], false),
            (&["ci/*"], false),
            (&["/ci/*", ""], false),
            (&["", "/ci/tree"], true),
            (&["/elsewhere/*", "/ci/tree"], true),
            (&[], false),
        ] {
            let trusted =
                trusts(values.iter().map(|value| (*value).to_owned()), Path::new("/ci/tree"), Some(home));
            assert_eq!(trusted, expect, "{values:?}");
        }
        assert!(trusts(["~/x/*".to_owned()], Path::new("/home/me/x/y"), Some(home)));
    }
}
