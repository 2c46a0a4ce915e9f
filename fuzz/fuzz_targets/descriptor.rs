//! libFuzzer on the body `descriptor` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("descriptor", data));
