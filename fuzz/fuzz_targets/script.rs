//! Feeds bytes that the fuzzer chooses to the check `script`.
#![no_main]

#[path = "../checks/script.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
