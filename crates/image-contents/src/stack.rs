//! Combines the layers of an image into the packages that it contains.

use std::collections::{BTreeMap, BTreeSet};

use crate::layer::{Found, LOG_ALONE, Layer, hashes};
use crate::limits::Limit;
use crate::packages::{Contents, Package, Unread};
use crate::record::{Record, is_cached};

/// The state of a path in a stack of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PathState<'a> {
    /// The topmost layer that has it.
    There(&'a Layer, &'a Found),
    /// Removed by one of the layers.
    Gone,
    /// Neither present nor removed.
    Untouched,
}

/// A stack of layers, the lowest first, that answers queries about a set of paths. Layers are
/// counted from 1.
struct Stack<'a> {
    layers: &'a [&'a Layer],
    /// The topmost layer that has a record.
    records: BTreeMap<&'a str, usize>,
    hidden: Hidden,
}

/// Finds the topmost layer that hides a path: all layers are matched at once with all paths and the
/// directories above them, so that the work grows with their sum and not with their product.
struct Hidden {
    /// Hashes of the paths and directories, sorted.
    asked: Vec<u64>,
    /// For each of these the topmost layer that hides it and everything below it.
    covered: Vec<usize>,
    /// For each of these the topmost layer that hides everything below it, but not itself.
    opaque: Vec<usize>,
}

impl<'a> Stack<'a> {
    /// Prepares queries about `paths` and about the paths of the layers' records.
    fn new(layers: &'a [&'a Layer], paths: impl Iterator<Item = &'a str>) -> Self {
        let mut records = BTreeMap::new();
        for (number, layer) in layers.iter().enumerate() {
            records.extend(layer.records.keys().map(|path| (path.as_str(), number + 1)));
        }
        let hidden = Hidden::new(layers, records.keys().copied().chain(paths));
        Self { layers, records, hidden }
    }

    fn find(&self, path: &str) -> PathState<'a> {
        let there = self.records.get(path).copied().unwrap_or_default();
        let hiding = self.hidden.by(path);
        if hiding > there {
            return PathState::Gone;
        }
        let layer = there.checked_sub(1).map(|at| self.layers[at]);
        match layer.and_then(|layer| Some((layer, layer.records.get(path)?))) {
            Some((layer, found)) => PathState::There(layer, found),
            None => PathState::Untouched,
        }
    }
}

impl Hidden {
    fn new<'a>(layers: &[&Layer], paths: impl Iterator<Item = &'a str>) -> Self {
        let mut asked: Vec<u64> = paths.flat_map(hashes).collect();
        asked.sort_unstable();
        asked.dedup();
        let (mut covered, mut opaque) = (vec![0; asked.len()], vec![0; asked.len()]);
        for (number, layer) in layers.iter().enumerate() {
            for (set, tops) in [(&layer.covers, &mut covered), (&layer.opaque, &mut opaque)] {
                // Iterates over the shorter list.
                if set.len() < asked.len() {
                    for at in set.iter().filter_map(|hash| asked.binary_search(hash).ok()) {
                        tops[at] = number + 1;
                    }
                } else {
                    let hit = |hash: &u64| set.binary_search(hash).is_ok();
                    for (top, _) in tops.iter_mut().zip(&asked).filter(|(_, hash)| hit(hash)) {
                        *top = number + 1;
                    }
                }
            }
        }
        Self { asked, covered, opaque }
    }

    /// Returns the topmost layer that hides one of the prepared paths; zero if there is none.
    fn by(&self, path: &str) -> usize {
        let (mut top, mut above) = (0, 0);
        for at in hashes(path).map(|hash| self.asked.binary_search(&hash)) {
            let Ok(at) = at else { continue };
            // An opaque directory hides only the paths below it.
            top = top.max(above).max(self.covered[at]);
            above = self.opaque[at];
        }
        top
    }
}

/// Returns the contents of a stack of layers, the lowest first.
#[must_use]
pub fn contents(layers: &[&Layer]) -> Contents {
    let mut contents = Contents::default();
    let (mut packages, mut further) = (0, 0);
    let stack = Stack::new(layers, [].into_iter());
    for path in stack.records.keys().copied() {
        let PathState::There(layer, found) = stack.find(path) else { continue };
        let (Some(record), false) = (Record::of(path), is_cached(path)) else { continue };
        let found = match found {
            // The target of the link may be in conda's cache.
            Found::Link(target) => match layer.records.get(target) {
                Some(Found::Link(_)) | None => {
                    &Found::Unread(format!("it is a link to {target}, which tells nothing"))
                }
                Some(found) => found,
            },
            found => found,
        };
        let mut unread = |why: String, is_beyond: bool| {
            if contents.unread.len() < Limit::Unread.length() {
                contents.unread.push(Unread { path: path.to_owned(), why, is_beyond });
            } else {
                further += 1;
            }
        };
        match (found, record.ecosystem()) {
            (Found::Packages(found), Some(ecosystem)) => {
                packages += found.len() as u64;
                if let Err(beyond) = Limit::Packages.check(packages) {
                    packages -= found.len() as u64;
                    unread(beyond.to_string(), true);
                    continue;
                }
                for named in found {
                    let place = record.place(path).to_owned();
                    let package = Package { ecosystem, place, name: named.name.clone() };
                    contents.packages.entry(package).or_default().insert(named.version.clone());
                }
            }
            (Found::Log, _) => {
                let database = path.strip_suffix("-wal").map(|database| stack.find(database));
                if !matches!(database, Some(PathState::There(beside, _)) if std::ptr::eq(beside, layer)) {
                    unread(LOG_ALONE.to_owned(), false);
                }
            }
            (Found::Unread(why), _) => unread(why.clone(), false),
            (Found::Beyond(beyond), _) => unread(beyond.to_string(), true),
            (Found::Packages(_) | Found::Link(_), _) => {}
        }
    }
    if let (Some(last), true) = (contents.unread.last_mut(), further > 0) {
        last.why = format!("{}; {further} further records were not read either", last.why);
        last.is_beyond = true;
    }
    contents
}

/// Whether two stacks on the same base determine all differences between their images, independent
/// of the contents of the base. Then the base need not be read: the [`contents`] of the two stacks
/// differ exactly as those of the images.
#[must_use]
pub fn is_decided(a: &[&Layer], b: &[&Layer]) -> bool {
    let removals =
        |layers: &[&Layer]| layers.iter().flat_map(|layer| &layer.removals).copied().collect::<BTreeSet<_>>();
    if removals(a) != removals(b) {
        return false;
    }
    let [of_a, of_b] = [(a, b), (b, a)].map(|(layers, others)| Stack::new(layers, paths(others)));
    let both = |path: &str| {
        let untouched = |stack: &Stack<'_>| stack.find(path) == PathState::Untouched;
        untouched(&of_a) == untouched(&of_b)
    };
    of_a.records.keys().chain(of_b.records.keys()).all(|path| both(path))
}

/// Number of lowest layers that two images share, by the digests of the layers' contents.
#[must_use]
pub fn shared(a: &[String], b: &[String]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn paths<'a>(layers: &[&'a Layer]) -> impl Iterator<Item = &'a str> {
    layers.iter().flat_map(|layer| layer.records.keys()).map(String::as_str)
}

/// Whether a layer hides a path of those below it.
#[cfg(test)]
pub(crate) fn hides(layer: &Layer, path: &str) -> bool {
    Hidden::new(&[layer], [path].into_iter()).by(path) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tests::{Entry, HASHED, layer};

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
    fn a_write_ahead_log_counts_with_the_database_of_its_layer_only() {
        const DATABASE: &str = "var/lib/rpm/rpmdb.sqlite";
        const LOG: &str = "var/lib/rpm/rpmdb.sqlite-wal";
        let unread = |layers: &[&Layer]| -> Vec<String> {
            contents(layers).unread.into_iter().map(|unread| unread.path).collect()
        };
        // An empty database has no table, so it is reported as unread; its log is reported
        // separately.
        let both = layer(&[Entry::File(LOG, "log"), Entry::File(DATABASE, "")]);
        let (database, log) = (layer(&[Entry::File(DATABASE, "")]), layer(&[Entry::File(LOG, "log")]));
        let empty = layer(&[Entry::File(LOG, "")]);
        assert_eq!(unread(&[&both]), [DATABASE]);
        assert_eq!(unread(&[&database, &log]), [DATABASE, LOG]);
        assert_eq!(unread(&[&both, &database]), [DATABASE, LOG]);
        assert_eq!(unread(&[&both, &empty]), [DATABASE]);
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

    /// The work grows with the sum of paths and layers, not with their product, and not with the
    /// square of a path's length.
    #[test]
    fn case_quadratic_cpu_of_long_paths_below_many_layers() {
        let work = |directories: usize, count: usize, layers: usize| {
            let path = |number: usize| format!("{}{number}/conda-meta/x.json", "a/".repeat(directories));
            let paths: Vec<String> = (0..count).map(path).collect();
            let text = r#"{"name": "x", "version": "1"}"#;
            let files: Vec<Entry<'_>> = paths.iter().map(|path| Entry::File(path, text)).collect();
            let lowest = layer(&files);
            let plain = layer(&[Entry::File("srv/script", "x")]);
            let stack: Vec<&Layer> = std::iter::once(&lowest).chain((0..layers).map(|_| &plain)).collect();
            HASHED.set(0);
            assert!(!contents(&stack).packages.is_empty());
            assert!(is_decided(&stack, &stack));
            HASHED.get()
        };
        let one = work(100, 10, 10);
        assert_eq!(work(100, 10, 20), one, "layers do not count");
        assert!(work(200, 10, 10) <= 2 * one, "of a path only its length counts");
        assert_eq!(work(100, 20, 10), 2 * one);
    }

    #[test]
    fn layers_are_shared_from_below() {
        let stack = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(shared(&stack(&["a", "b", "c"]), &stack(&["a", "b", "d", "c"])), 2);
        assert_eq!(shared(&stack(&["a"]), &stack(&["b", "a"])), 0);
        assert_eq!(shared(&stack(&["a"]), &stack(&["a", "b"])), 1);
    }
}
