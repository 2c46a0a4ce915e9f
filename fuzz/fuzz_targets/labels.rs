//! libFuzzer on the body `labels` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("labels", data));
