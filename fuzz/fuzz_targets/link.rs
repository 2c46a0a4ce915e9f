//! libFuzzer on the body `link` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("link", data));
