//! Paths and queries: normalising is stable, and nothing that normalises holds a dot segment.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(path) = portcullis_gateway::parse::path(text) {
        assert_eq!(portcullis_gateway::parse::path(&path).as_deref(), Some(path.as_str()));
        assert!(!path.split('/').any(|part| part == "." || part == ".."));
    }
    let _ = portcullis_gateway::parse::pairs(text);
});
