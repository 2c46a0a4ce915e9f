//! libFuzzer on the body `rpmdb` of crates/fuzzing.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("rpmdb", data));
