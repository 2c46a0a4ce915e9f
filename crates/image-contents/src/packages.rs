//! Packages as values: name, package manager, directory and version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// The package manager of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// Debian and its derivatives.
    Dpkg,
    /// Alpine.
    Apk,
    /// Red Hat, Fedora, SUSE and their derivatives.
    Rpm,
    /// Every tool that writes a `.dist-info` or `.egg-info`: pip, conda, Debian's packages of
    /// Python modules.
    Python,
    /// conda and compatible tools.
    Conda,
    /// R's libraries.
    R,
}

impl Ecosystem {
    /// The name in published data and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Python => "python",
            Self::Conda => "conda",
            Self::R => "r",
        }
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A package without its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Package {
    /// The package manager of the record.
    pub ecosystem: Ecosystem,
    /// The directory that it is installed in, without a leading `/`, if an image can have several:
    /// `opt/venv/lib/python3.11/site-packages`. Empty for the system's own packages.
    pub place: String,
    /// Its name as the package manager compares it; one of a foreign architecture as
    /// `name:architecture`.
    pub name: String,
}

/// Every package with its versions: one, except after a broken installation.
pub type Packages = BTreeMap<Package, BTreeSet<String>>;

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unread {
    /// Its path, without a leading `/`.
    pub path: String,
    /// Why it was not read.
    pub why: String,
    /// Whether it exceeds a limit that no package manager comes near, so that the record was
    /// written in order not to be read.
    #[serde(default)]
    pub is_beyond: bool,
}

/// The packages and unread records of a stack of layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Installed packages.
    pub packages: Packages,
    /// Records that could not be read.
    pub unread: Vec<Unread>,
}
