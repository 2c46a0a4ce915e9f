//! How much a test does: a little every time, and a lot in `cargo xtask soak`. And the seed that
//! makes chance repeatable.

use std::env;
use std::fs;
use std::path::Path;

/// `quick`, or `long` when `IMAGE_BUILDER_SOAK` is 1.
#[must_use]
pub fn quick_or_long<T>(quick: T, long: T) -> T {
    if env::var("IMAGE_BUILDER_SOAK").is_ok_and(|value| value == "1") { long } else { quick }
}

/// The start of all chance in one test. It is said when the test fails.
#[derive(Debug)]
pub struct Seed {
    /// From `IMAGE_BUILDER_SEED`, else by chance.
    pub value: u64,
}

/// A seed; keep it until the test's end.
///
/// # Panics
/// When `IMAGE_BUILDER_SEED` is no number.
#[must_use]
pub fn seed() -> Seed {
    let value = match env::var("IMAGE_BUILDER_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("IMAGE_BUILDER_SEED is no number: {text}")),
        Err(_) => fastrand::u64(..),
    };
    Seed { value }
}

impl Seed {
    /// A generator for the n-th of many tries, so that one of them can be repeated alone.
    #[must_use]
    pub fn generator(&self, number: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.value ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: IMAGE_BUILDER_SEED={}", self.value);
        }
    }
}

/// Writes what a test measured to `$IMAGE_BUILDER_FIGURES/{name}.json`, where that is set.
///
/// # Panics
/// When the file cannot be written.
pub fn record(name: &str, figures: &serde_json::Value) {
    let Some(dir) = env::var_os("IMAGE_BUILDER_FIGURES") else { return };
    let file = Path::new(&dir).join(format!("{name}.json"));
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    fs::write(&file, format!("{figures:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
