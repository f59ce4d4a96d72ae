#![no_main]

#[path = "../targets/bytes.rs"]
mod bytes;
#[path = "../targets/tables.rs"]
mod tables;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::run(data));
