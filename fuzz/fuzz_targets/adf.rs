//! ADF: what the door lets in can be printed in every form, and wiki markup made of it reads back.
#![no_main]
use portcullis_jira::rich_text::Document;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let Ok(document) = Document::from_adf(json) else { return };
    let html = document.to_html();
    assert!(!html.to_lowercase().contains("<script"));
    let _ = (document.to_text(), document.mentions(), document.is_empty());
    let wiki = document.to_wiki();
    assert_eq!(Document::from_wiki(&wiki).to_wiki(), wiki);
});
