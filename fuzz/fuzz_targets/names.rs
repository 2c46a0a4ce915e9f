//! libFuzzer on the body `names` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("names", data));
