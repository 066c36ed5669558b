//! JQL: what parses prints as JQL that parses to the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(query) = portcullis_jira::jql::parse(text) {
        let printed = query.to_string();
        let again = portcullis_jira::jql::parse(&printed).expect("printed JQL parses");
        assert_eq!(again.to_string(), printed);
    }
});
