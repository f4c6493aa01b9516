//! Feeds bytes that the fuzzer chooses to the check `scim`.
#![no_main]

#[path = "../checks/scim.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
