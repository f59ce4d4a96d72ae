#![no_main]

#[path = "../targets/bytes.rs"]
mod bytes;
#[path = "../targets/model.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|data: &[u8]| model::run(data));
