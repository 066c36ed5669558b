//! The `Authorization: Basic` header.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = portcullis_guard::authn::parse_basic(text);
});
