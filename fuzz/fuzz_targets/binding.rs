//! Feeds bytes that the fuzzer chooses to the check `binding`.
#![no_main]

#[path = "../checks/binding.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
