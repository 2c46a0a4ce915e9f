//! libFuzzer on the body `layer` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("layer", data));
