//! Wiki markup always gives a document that the ADF door takes.
#![no_main]
use portcullis_jira::rich_text::Document;
libfuzzer_sys::fuzz_target!(|markup: &str| {
    let document = Document::from_wiki(markup);
    Document::from_adf(document.clone().into_json()).expect("a valid document");
    let _ = document.to_html();
});
