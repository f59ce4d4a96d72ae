#![no_main]

#[path = "../targets/bytes.rs"]
mod bytes;
#[path = "../targets/images.rs"]
mod images;

libfuzzer_sys::fuzz_target!(|data: &[u8]| images::run(data));
