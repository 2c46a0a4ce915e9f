//! Recognises records of packages by their paths alone.

use crate::packages::Ecosystem;

/// A file in which a package manager records installed packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// `var/lib/dpkg/status`, and one package's in `status.d`, as distroless images have it.
    Dpkg,
    /// `lib/apk/db/installed`.
    Apk,
    /// `rpmdb.sqlite`, rpm's database since rpm 4.16.
    Rpm,
    /// The write-ahead log of that database.
    RpmLog,
    /// A rollback journal of that database.
    RpmJournal,
    /// A database in one of rpm's other formats.
    RpmOther(&'static str),
    /// `METADATA` of a `.dist-info`, `PKG-INFO` of an `.egg-info`.
    Python,
    /// `conda-meta/*.json`.
    Conda,
    /// `DESCRIPTION` of a package in an R library.
    R,
}

impl Record {
    /// The record at a path without a leading `/`.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["var", "lib", "dpkg", "status"] => Some(Self::Dpkg),
            ["var", "lib", "dpkg", "status.d", name] => (!name.ends_with(".md5sums")).then_some(Self::Dpkg),
            ["lib", "apk", "db", "installed"] | ["usr", "lib", "apk", "db", "installed"] => Some(Self::Apk),
            ["var", "lib", "rpm", name]
            | ["usr", "lib", "sysimage", "rpm", name]
            | ["usr", "share", "rpm", name] => match name {
                "rpmdb.sqlite" => Some(Self::Rpm),
                "rpmdb.sqlite-wal" => Some(Self::RpmLog),
                "rpmdb.sqlite-journal" => Some(Self::RpmJournal),
                "Packages" => Some(Self::RpmOther("Berkeley DB")),
                "Packages.db" => Some(Self::RpmOther("ndb")),
                _ => None,
            },
            [.., "conda-meta", name] => name.ends_with(".json").then_some(Self::Conda),
            [.., "site-packages" | "dist-packages", name] => {
                name.ends_with(".egg-info").then_some(Self::Python)
            }
            [.., "site-packages" | "dist-packages", name, file] => {
                let told = name.ends_with(".dist-info") && file == "METADATA"
                    || name.ends_with(".egg-info") && file == "PKG-INFO";
                told.then_some(Self::Python)
            }
            [.., "site-packages" | "dist-packages", egg, "EGG-INFO", "PKG-INFO"] => {
                egg.ends_with(".egg").then_some(Self::Python)
            }
            [ref above @ .., "library" | "site-library", _, "DESCRIPTION"] => {
                above.contains(&"R").then_some(Self::R)
            }
            _ => None,
        }
    }

    /// The ecosystem; `None` for records that are not read.
    pub(crate) fn ecosystem(self) -> Option<Ecosystem> {
        match self {
            Self::Dpkg => Some(Ecosystem::Dpkg),
            Self::Apk => Some(Ecosystem::Apk),
            Self::Rpm => Some(Ecosystem::Rpm),
            Self::RpmLog | Self::RpmJournal | Self::RpmOther(_) => None,
            Self::Python => Some(Ecosystem::Python),
            Self::Conda => Some(Ecosystem::Conda),
            Self::R => Some(Ecosystem::R),
        }
    }

    /// The directory that the record's packages are installed in; empty where an image has only
    /// one.
    pub(crate) fn place(self, path: &str) -> &str {
        let behind = |names: &[&str]| {
            let mut at = 0;
            let mut found = "";
            for part in path.split('/') {
                at += part.len();
                if names.contains(&part) {
                    found = &path[..at];
                }
                at += 1;
            }
            found
        };
        match self {
            Self::Dpkg | Self::Apk | Self::Rpm | Self::RpmLog | Self::RpmJournal | Self::RpmOther(_) => "",
            Self::Python => behind(&["site-packages", "dist-packages"]),
            Self::Conda => behind(&["conda-meta"]).trim_end_matches("conda-meta").trim_end_matches('/'),
            Self::R => behind(&["library", "site-library"]),
        }
    }
}

/// Whether a path lies in conda's cache of unpacked packages, which need not be installed.
pub(crate) fn is_cached(path: &str) -> bool {
    path.split('/').any(|part| part == "pkgs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_known_by_their_paths() {
        let python = "usr/local/lib/python3.11/site-packages";
        for (path, expect) in [
            ("var/lib/dpkg/status", Some((Record::Dpkg, ""))),
            ("var/lib/dpkg/status-old", None),
            ("opt/var/lib/dpkg/status", None),
            ("var/lib/dpkg/status.d/libc6", Some((Record::Dpkg, ""))),
            ("var/lib/dpkg/status.d/libc6.md5sums", None),
            ("lib/apk/db/installed", Some((Record::Apk, ""))),
            ("usr/lib/apk/db/installed", Some((Record::Apk, ""))),
            ("var/lib/rpm/rpmdb.sqlite", Some((Record::Rpm, ""))),
            ("usr/lib/sysimage/rpm/rpmdb.sqlite", Some((Record::Rpm, ""))),
            ("var/lib/rpm/rpmdb.sqlite-wal", Some((Record::RpmLog, ""))),
            ("var/lib/rpm/rpmdb.sqlite-journal", Some((Record::RpmJournal, ""))),
            ("var/lib/rpm/rpmdb.sqlite-shm", None),
            ("var/lib/rpm/Packages", Some((Record::RpmOther("Berkeley DB"), ""))),
            ("usr/lib/sysimage/rpm/Packages.db", Some((Record::RpmOther("ndb"), ""))),
            ("var/lib/rpm/Name", None),
            ("usr/local/lib/python3.11/site-packages/a-1.dist-info/METADATA", Some((Record::Python, python))),
            ("usr/local/lib/python3.11/site-packages/a-1.dist-info/RECORD", None),
            ("usr/local/lib/python3.11/site-packages/a-1.egg-info/PKG-INFO", Some((Record::Python, python))),
            ("usr/local/lib/python3.11/site-packages/a-1.egg-info", Some((Record::Python, python))),
            (
                "usr/local/lib/python3.11/site-packages/a-1-py3.11.egg/EGG-INFO/PKG-INFO",
                Some((Record::Python, python)),
            ),
            // A copy that another package bundles for itself.
            ("usr/local/lib/python3.11/site-packages/setuptools/_vendor/a-1.dist-info/METADATA", None),
            (
                "usr/lib/python3/dist-packages/a-1.egg-info",
                Some((Record::Python, "usr/lib/python3/dist-packages")),
            ),
            ("opt/conda/conda-meta/numpy-1.26.4-py311_0.json", Some((Record::Conda, "opt/conda"))),
            ("opt/conda/envs/x/conda-meta/a-1-0.json", Some((Record::Conda, "opt/conda/envs/x"))),
            ("opt/conda/conda-meta/history", None),
            ("usr/lib/R/library/stats/DESCRIPTION", Some((Record::R, "usr/lib/R/library"))),
            (
                "usr/local/lib/R/site-library/ggplot2/DESCRIPTION",
                Some((Record::R, "usr/local/lib/R/site-library")),
            ),
            ("srv/library/x/DESCRIPTION", None),
            ("", None),
        ] {
            let found = Record::of(path).map(|record| (record, record.place(path)));
            assert_eq!(found, expect, "{path}");
        }
        assert!(is_cached("opt/conda/pkgs/a-1-0/lib/python3.11/site-packages/a-1.dist-info/METADATA"));
        assert!(!is_cached("opt/conda/lib/python3.11/site-packages/a-1.dist-info/METADATA"));
    }
}
