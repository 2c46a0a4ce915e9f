//! libFuzzer on the body `dockerfile` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("dockerfile", data));
