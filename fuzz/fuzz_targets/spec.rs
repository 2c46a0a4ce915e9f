//! libFuzzer on the body `spec` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("spec", data));
