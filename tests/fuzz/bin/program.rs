#![no_main]

#[path = "../targets/bytes.rs"]
mod bytes;
#[path = "../targets/program.rs"]
mod program;

libfuzzer_sys::fuzz_target!(|data: &[u8]| program::run(data));
