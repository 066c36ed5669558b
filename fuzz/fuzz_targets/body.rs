//! JSON and form bodies.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis_gateway::parse::json(bytes);
    let _ = portcullis_gateway::parse::form(bytes);
});
