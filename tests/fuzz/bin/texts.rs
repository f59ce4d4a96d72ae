#![no_main]

#[path = "../targets/bytes.rs"]
mod bytes;
#[path = "../targets/texts.rs"]
mod texts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| texts::run(data));
