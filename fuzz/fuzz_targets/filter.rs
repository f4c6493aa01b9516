//! Feeds bytes that the fuzzer chooses to the check `filter`.
#![no_main]

#[path = "../checks/filter.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
