//! The fuzz targets without a fuzzer: every seed, and a bounded number of inputs near the seeds.
//! libFuzzer searches further, with `cargo xtask fuzz`; this runs with the other tests.
//! `IMAGE_BUILDER_SOAK=1` multiplies the inputs by a hundred.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fuzzing::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestError, TestRunner};
use testbed::time_scale;

/// Number of inputs of each target, in addition to its seeds.
const INPUTS: u32 = 600;

/// Maximum size of an input in bytes; the fuzzer tries larger ones.
const LARGEST: usize = 16 * 1024;

/// Words that reach more code than random bytes.
const WORDS: [&str; 40] = [
    "\n",
    "\r\n",
    "\\",
    "\\\n",
    "\"",
    "'",
    "`",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "/",
    "//",
    "/*",
    "*/",
    "#",
    "..",
    "$",
    "${",
    "=",
    "<<",
    "<<E\n",
    "FROM ",
    "COPY --from=",
    "RUN --mount=from=",
    "ARG ",
    "sci/",
    "rel/",
    "@sha256:",
    "**",
    "!",
    "\u{feff}",
    "\u{202e}",
    "\0",
    "\u{1b}",
    "null",
    "//- /",
    "errorDetail",
];

/// One change of an input. Positions are relative to its length.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Repeat(Index, usize, usize),
    Set(Index, u8),
    /// Replaces the rest by that of another seed.
    Splice(Index, Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let word = prop_oneof![
        3 => prop::sample::select(WORDS.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop_oneof![
        4 => (any::<Index>(), word).prop_map(|(at, word)| Edit::Insert(at, word)),
        3 => (any::<Index>(), 1..20_usize).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => (any::<Index>(), 1..40_usize, 1..30_usize).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, seed, from)| Edit::Splice(at, seed, from)),
    ]
}

fn apply(mut data: Vec<u8>, edits: &[Edit], seeds: &[Vec<u8>]) -> Vec<u8> {
    for edit in edits {
        let place = |at: &Index, length: usize| at.index(length + 1);
        match edit {
            Edit::Insert(at, word) => {
                let at = place(at, data.len());
                data.splice(at..at, word.iter().copied());
            }
            Edit::Delete(at, length) => {
                let at = place(at, data.len());
                data.drain(at..data.len().min(at + length));
            }
            Edit::Repeat(at, length, times) => {
                let at = place(at, data.len());
                let part = data[at..data.len().min(at + length)].repeat(*times);
                data.splice(at..at, part);
            }
            Edit::Set(at, byte) if !data.is_empty() => {
                let at = at.index(data.len());
                data[at] = *byte;
            }
            Edit::Set(..) => {}
            Edit::Splice(at, seed, from) => {
                let other = &seeds[seed.index(seeds.len())];
                data.truncate(place(at, data.len()));
                data.extend(&other[place(from, other.len())..]);
            }
        }
        data.truncate(LARGEST);
    }
    data
}

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target.name);
    let list =
        std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = list.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a seed"))).collect()
}

/// Runs one target; returns the number of distinct inputs.
fn drive(target: &Target, inputs: u32) -> usize {
    let seeds = seeds(target);
    assert!(seeds.len() >= 5, "{}: a target needs seeds", target.name);
    let mut met = HashSet::new();
    for (path, seed) in &seeds {
        println!("{}", path.display());
        (target.body)(seed);
        met.insert(hash(seed));
    }
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, seed)| seed).collect();
    let strategy = (any::<Index>(), prop::collection::vec(edit(), 1..8))
        .prop_map(|(seed, edits)| apply(seeds[seed.index(seeds.len())].clone(), &edits, &seeds));
    let met = std::cell::RefCell::new(met);
    let config = Config { cases: inputs, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&strategy, |data| {
        met.borrow_mut().insert(hash(&data));
        (target.body)(&data);
        Ok(())
    });
    match ran {
        Ok(()) => {}
        Err(TestError::Fail(why, data)) => {
            panic!("{}: {why}; keep the input in fuzz/seeds: b\"{}\"", target.name, data.escape_ascii())
        }
        Err(TestError::Abort(why)) => panic!("{}: {why}", target.name),
    }
    met.into_inner().len()
}

fn hash(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn every_target_bears_its_seeds_and_what_is_near_them() {
    let inputs = time_scale::quick_or_long(INPUTS, INPUTS * 100);
    let mut figures = serde_json::Map::new();
    for target in &TARGETS {
        let start = Instant::now();
        let distinct = drive(target, inputs);
        let seconds = start.elapsed().as_secs_f64();
        println!("{}: {distinct} inputs in {seconds:.1} s", target.name);
        assert!(distinct > inputs as usize / 2, "{}: hardly any of the inputs differ", target.name);
        figures.insert(target.name.to_owned(), serde_json::json!({ "inputs": distinct, "seconds": seconds }));
    }
    time_scale::record("fuzz-stable", &figures.into());
}
