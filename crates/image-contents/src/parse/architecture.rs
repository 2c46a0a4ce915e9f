//! Decides which package names need an architecture: those of packages for another architecture
//! than most.

use std::collections::BTreeMap;

use super::Named;

/// Packages with unique names: `name`, and `name:architecture` for a foreign one.
pub(super) fn by_name(found: Vec<(Named, String)>) -> Vec<Named> {
    let native = native(&found);
    let named = found.into_iter().map(|(named, architecture)| {
        if is_any(&architecture) || Some(&architecture) == native.as_ref() {
            return named;
        }
        Named { name: format!("{}:{architecture}", named.name), ..named }
    });
    named.collect()
}

/// The architecture of most packages.
fn native(found: &[(Named, String)]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, architecture) in found.iter().filter(|(_, architecture)| !is_any(architecture)) {
        *counts.entry(architecture).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(architecture, _)| architecture.to_owned())
}

/// The architecture names of dpkg and rpm for a package that runs anywhere, or without an
/// architecture.
fn is_any(architecture: &str) -> bool {
    matches!(architecture, "" | "all" | "noarch")
}
