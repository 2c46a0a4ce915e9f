//! libFuzzer on the body `dockerignore` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("dockerignore", data));
