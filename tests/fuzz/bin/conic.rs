#![no_main]

#[path = "../targets/bytes.rs"]
mod bytes;
#[path = "../targets/conic.rs"]
mod conic;

libfuzzer_sys::fuzz_target!(|data: &[u8]| conic::run(data));
