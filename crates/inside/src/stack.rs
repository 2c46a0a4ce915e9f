//! Layers on top of each other → what the image holds.

use std::collections::BTreeSet;

use crate::layer::{Found, Layer};
use crate::packages::{Contents, Package, Unread};
use crate::record::{Record, is_cached};

/// What a stack of layers says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen<'a> {
    /// The topmost layer that has it.
    There(&'a Layer, &'a Found),
    /// Taken away.
    Gone,
    /// Left to the layers below.
    Untouched,
}

fn look<'a>(layers: &[&'a Layer], path: &str) -> Seen<'a> {
    for layer in layers.iter().rev() {
        if let Some(found) = layer.records.get(path) {
            return Seen::There(layer, found);
        }
        if layer.hides(path) {
            return Seen::Gone;
        }
    }
    Seen::Untouched
}

/// What a stack of layers, the lowest first, holds.
#[must_use]
pub fn contents(layers: &[&Layer]) -> Contents {
    let mut contents = Contents::default();
    for path in paths(layers) {
        let Seen::There(layer, found) = look(layers, path) else { continue };
        let (Some(record), false) = (Record::of(path), is_cached(path)) else { continue };
        let found = match found {
            // The other name may be one of conda's cache.
            Found::Link(target) => match layer.records.get(target) {
                Some(Found::Link(_)) | None => {
                    &Found::Unread(format!("it is a link to {target}, which tells nothing"))
                }
                Some(found) => found,
            },
            found => found,
        };
        let unread = |why: &str| Unread { path: path.to_owned(), why: why.to_owned() };
        match (found, record.ecosystem()) {
            (Found::Packages(packages), Some(ecosystem)) => {
                for named in packages {
                    let place = record.place(path).to_owned();
                    let package = Package { ecosystem, place, name: named.name.clone() };
                    contents.packages.entry(package).or_default().insert(named.version.clone());
                }
            }
            (Found::Unread(why), _) => contents.unread.push(unread(why)),
            (Found::Packages(_) | Found::Link(_), _) => {}
        }
    }
    contents
}

/// Whether two stacks on the same base tell all that differs between their images, whatever that base holds: then it need
/// not be read. [`contents`] of the two stacks alone then differ as those of the images do.
#[must_use]
pub fn is_decided(a: &[&Layer], b: &[&Layer]) -> bool {
    let removals =
        |layers: &[&Layer]| layers.iter().flat_map(|layer| &layer.removals).copied().collect::<BTreeSet<_>>();
    let both = |path: &str| {
        let untouched = |layers| look(layers, path) == Seen::Untouched;
        untouched(a) == untouched(b)
    };
    removals(a) == removals(b) && paths(a).chain(paths(b)).all(both)
}

/// How many of their lowest layers two images share, by the digests of the layers' contents.
#[must_use]
pub fn shared(a: &[String], b: &[String]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn paths<'a>(layers: &[&'a Layer]) -> impl Iterator<Item = &'a str> {
    layers
        .iter()
        .flat_map(|layer| layer.records.keys())
        .map(String::as_str)
        .collect::<BTreeSet<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tests::{Entry, layer};

    const STATUS: &str = "var/lib/dpkg/status";
    const PYTHON: &str = "opt/v/lib/python3/site-packages";

    fn dpkg(packages: &[(&str, &str)]) -> String {
        packages.iter().map(|(name, version)| format!("Package: {name}\nVersion: {version}\n\n")).collect()
    }

    fn python(name: &str, version: &str) -> (String, String) {
        (
            format!("{PYTHON}/{name}-{version}.dist-info/METADATA"),
            format!("Name: {name}\nVersion: {version}\n"),
        )
    }

    fn show(layers: &[&Layer]) -> String {
        let contents = contents(layers);
        let packages = contents.packages.iter().map(|(package, versions)| {
            let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
            format!("{} {} {} {}", package.ecosystem, package.place, package.name, versions.join(", "))
        });
        let unread = contents.unread.iter().map(|unread| format!("unread {}: {}", unread.path, unread.why));
        packages.chain(unread).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_topmost_record_counts_and_what_is_taken_away_is_gone() {
        let (one, two) = (python("a", "1"), python("b", "1"));
        let base = layer(&[
            Entry::File(STATUS, &dpkg(&[("libc6", "1"), ("curl", "1")])),
            Entry::File(&one.0, &one.1),
            Entry::File(&two.0, &two.1),
            Entry::File("opt/conda/conda-meta/x-1-0.json", r#"{"name": "x", "version": "1"}"#),
            Entry::File("srv/lib/python3/site-packages/s-1.egg-info", "Name: s\nVersion: 1\n"),
            Entry::File("var/lib/rpm/Packages", "old"),
        ]);
        let newer = python("a", "2");
        let top = layer(&[
            Entry::File(STATUS, &dpkg(&[("libc6", "2"), ("curl", "1")])),
            Entry::File(&format!("{PYTHON}/.wh.a-1.dist-info"), ""),
            Entry::File(&newer.0, &newer.1),
            Entry::File("opt/conda/.wh..wh..opq", ""),
            Entry::File("opt/conda/conda-meta/y-1-0.json", r#"{"name": "y", "version": "1"}"#),
            Entry::Symlink("srv/lib", "/elsewhere"),
        ]);
        let place = PYTHON;
        assert_eq!(
            show(&[&base]).replace(place, "PLACE"),
            "dpkg  curl 1\ndpkg  libc6 1\npython PLACE a 1\npython PLACE b 1\n\
             python srv/lib/python3/site-packages s 1\nconda opt/conda x 1\n\
             unread var/lib/rpm/Packages: rpm's older form of a database, Berkeley DB, is not read"
        );
        assert_eq!(
            show(&[&base, &top]).replace(place, "PLACE"),
            "dpkg  curl 1\ndpkg  libc6 2\npython PLACE a 2\npython PLACE b 1\nconda opt/conda y 1\n\
             unread var/lib/rpm/Packages: rpm's older form of a database, Berkeley DB, is not read"
        );
    }

    #[test]
    fn hard_links_of_condas_cache_are_followed_and_not_counted() {
        let path = "opt/conda/lib/python3/site-packages/a-1.dist-info/METADATA";
        let cached = format!("opt/conda/pkgs/a-1-0/{}", &path["opt/conda/".len()..]);
        for (file, link) in [(path, cached.as_str()), (cached.as_str(), path)] {
            let one = layer(&[Entry::File(file, "Name: a\nVersion: 1\n"), Entry::Hard(link, file)]);
            assert_eq!(show(&[&one]), "python opt/conda/lib/python3/site-packages a 1");
        }
        let nowhere = layer(&[Entry::Hard(path, "opt/other")]);
        assert_eq!(
            show(&[&nowhere]),
            format!("unread {path}: it is a link to opt/other, which tells nothing")
        );
    }

    #[test]
    fn a_base_is_read_only_where_it_can_make_a_difference() {
        let (one, two) = (python("a", "1"), python("a", "2"));
        let status = |version| layer(&[Entry::File(STATUS, &dpkg(&[("libc6", version)]))]);
        let plain = layer(&[Entry::File("srv/script", "x"), Entry::Dir("opt")]);
        let added = layer(&[Entry::File(&one.0, &one.1)]);
        let other = layer(&[Entry::File(&two.0, &two.1)]);
        let removed = layer(&[Entry::File("opt/.wh.v", "")]);
        let linked = layer(&[Entry::Symlink("opt/v", "w")]);
        let (older, newer) = (status("1"), status("2"));
        for (a, b, decided) in [
            (vec![&plain], vec![], true),
            (vec![&older], vec![&newer, &plain], true),
            (vec![&older], vec![&plain], false),
            (vec![&added], vec![&added, &plain], true),
            (vec![&added], vec![&other], false),
            (vec![&removed], vec![&plain], false),
            (vec![&removed, &added], vec![&removed], true),
            (vec![&linked], vec![], false),
            (vec![], vec![], true),
        ] {
            assert_eq!(is_decided(&a, &b), decided);
        }
    }

    #[test]
    fn layers_are_shared_from_below() {
        let stack = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(shared(&stack(&["a", "b", "c"]), &stack(&["a", "b", "d", "c"])), 2);
        assert_eq!(shared(&stack(&["a"]), &stack(&["b", "a"])), 0);
        assert_eq!(shared(&stack(&["a"]), &stack(&["a", "b"])), 1);
    }
}
