#![no_main]
//! The program that libFuzzer runs; see the target of its name.

libfuzzer_sys::fuzz_target!(|data: &[u8]| formwork_fuzz::run("request", data));
