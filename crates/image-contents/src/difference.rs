//! Compares the packages and settings of two images.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::configuration::{Setting, Settings};
use crate::packages::{Ecosystem, Package, Packages};

/// A package that differs between two images. Published data: a part of `diff --format json` and of
/// `result.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Move {
    /// The package manager of the record.
    pub ecosystem: Ecosystem,
    /// The directory that it is installed in, if an image can have several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Its name.
    pub name: String,
    /// Its versions in the first image; empty when it is new.
    pub from: Vec<String>,
    /// Its versions in the second image; empty when it is gone.
    pub to: Vec<String>,
}

/// A setting that differs between two images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The setting.
    pub setting: Setting,
    /// Its value in the first image, if any.
    pub from: Option<String>,
    /// Its value in the second image, if any.
    pub to: Option<String>,
}

/// Returns every package that differs, sorted by ecosystem, place and name.
#[must_use]
pub fn moves(a: &Packages, b: &Packages) -> Vec<Move> {
    let keys: BTreeSet<&Package> = a.keys().chain(b.keys()).collect();
    let versions = |packages: &Packages, key: &Package| -> Vec<String> {
        packages.get(key).into_iter().flatten().cloned().collect()
    };
    keys.into_iter()
        .map(|key| Move {
            ecosystem: key.ecosystem,
            place: key.place.clone(),
            name: key.name.clone(),
            from: versions(a, key),
            to: versions(b, key),
        })
        .filter(|one| one.from != one.to)
        .collect()
}

/// Returns every setting that differs, in the order of [`Setting`].
#[must_use]
pub fn setting_changes(a: &Settings, b: &Settings) -> Vec<Changed> {
    let keys: BTreeSet<&Setting> = a.keys().chain(b.keys()).collect();
    keys.into_iter()
        .map(|key| Changed { setting: key.clone(), from: a.get(key).cloned(), to: b.get(key).cloned() })
        .filter(|one| one.from != one.to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(all: &[(Ecosystem, &str, &str, &[&str])]) -> Packages {
        all.iter()
            .map(|(ecosystem, place, name, versions)| {
                let package =
                    Package { ecosystem: *ecosystem, place: (*place).to_owned(), name: (*name).to_owned() };
                (package, versions.iter().map(|version| (*version).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn packages_are_compared_where_they_are() {
        use Ecosystem::{Conda, Dpkg, Python};
        let a = packages(&[
            (Dpkg, "", "curl", &["1"]),
            (Dpkg, "", "libc6", &["1"]),
            (Python, "opt/a", "numpy", &["1"]),
            (Python, "opt/b", "numpy", &["1"]),
            (Conda, "opt/conda", "numpy", &["1 py_0"]),
        ]);
        let b = packages(&[
            (Dpkg, "", "libc6", &["2"]),
            (Dpkg, "", "wget", &["1"]),
            (Python, "opt/a", "numpy", &["1"]),
            (Python, "opt/b", "numpy", &["1", "2"]),
            (Conda, "opt/conda", "numpy", &["1 py_1"]),
        ]);
        let shown: Vec<String> = moves(&a, &b)
            .iter()
            .map(|m| format!("{} {} {} {:?} {:?}", m.ecosystem, m.place, m.name, m.from, m.to))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        dpkg  curl ["1"] []
        dpkg  libc6 ["1"] ["2"]
        dpkg  wget [] ["1"]
        python opt/b numpy ["1"] ["1", "2"]
        conda opt/conda numpy ["1 py_0"] ["1 py_1"]
        "#);
        assert!(moves(&a, &a).is_empty());
    }

    #[test]
    fn settings_are_compared_by_name() {
        let settings = |all: &[(Setting, &str)]| -> Settings {
            all.iter().map(|(setting, value)| (setting.clone(), (*value).to_owned())).collect()
        };
        let variable = |name: &str| Setting::Environment(name.to_owned());
        let a = settings(&[(variable("A"), "1"), (variable("B"), "1"), (Setting::User, "root")]);
        let b =
            settings(&[(variable("A"), "1"), (variable("B"), ""), (Setting::Port("80/tcp".to_owned()), "")]);
        let shown: Vec<String> = setting_changes(&a, &b)
            .iter()
            .map(|changed| format!("{}: {:?} {:?}", changed.setting, changed.from, changed.to))
            .collect();
        assert_eq!(
            shown,
            [
                r#"environment B: Some("1") Some("")"#,
                r#"user: Some("root") None"#,
                r#"port 80/tcp: None Some("")"#
            ]
        );
    }
}
