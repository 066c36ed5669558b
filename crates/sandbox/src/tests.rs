//! What is asked of the worker itself.

use serde_json::{Value as Json, json};

use crate::ask;

fn answered(question: Json) -> Json {
    serde_json::from_slice(&ask::answer(question.to_string().as_bytes())).expect("an answer is JSON")
}

#[test]
fn a_url_is_parsed_as_the_standard_says() {
    let parts = answered(json!({"op": "parse_url", "url": "HTTPS://Ä.example:443\\a/../b?q#h", "base": null}));
    assert_eq!(parts["ok"]["href"], "https://xn--4ca.example/b?q#h");
    assert_eq!(parts["ok"]["port"], "");
    assert!(answered(json!({"op": "parse_url", "url": "/b", "base": null}))["error"].is_string());
}

#[test]
fn digests_and_macs_are_those_of_the_standards() {
    // RFC 4231, test case 2.
    let mac = answered(
        json!({"op": "hmac", "algorithm": "sha256", "key": "SmVmZQ==", "data": "d2hhdCBkbyB5YSB3YW50IGZvciBub3RoaW5nPw=="}),
    );
    assert_eq!(mac["ok"], "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    let digest = answered(json!({"op": "digest", "algorithm": "sha1", "data": ""}));
    assert_eq!(digest["ok"], "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
}

#[test]
fn nonsense_is_answered_with_a_sentence() {
    for question in
        ["", "{}", "[]", "\u{0}", r#"{"op":"read_file","path":"/etc/passwd"}"#, r#"{"op":"random","bytes":99999999}"#]
    {
        let answer: Json = serde_json::from_slice(&ask::answer(question.as_bytes())).expect("an answer is JSON");
        assert!(answer["error"].is_string(), "{question}");
    }
}
