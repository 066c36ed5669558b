//! An API token checked from the header's text on: Base64, checksum, SHA-256, look-up. The same steps as the guard's, on the
//! public parts; `request-bench` measures the guard itself.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_crypto::{PlainToken, SeededEntropy, TokenHash, TokenKind, sha256};

use crate::timing::{Samples, row};

const LIMIT_NS: f64 = 1_000.0;

pub fn measure(tokens: usize) {
    let entropy = SeededEntropy::new(3);
    let mut known: HashMap<TokenHash, (usize, String)> = HashMap::new();
    let headers: Vec<String> = (0..tokens)
        .map(|n| {
            let token = PlainToken::issue(TokenKind::ApiToken, &entropy);
            let email = format!("person{n}@acme.example");
            known.insert(token.hash(), (n, email.clone()));
            STANDARD.encode(format!("{email}:{}", token.expose_secret()))
        })
        .collect();
    let check = |encoded: &str| {
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (email, token) = text.split_once(':')?;
        let (kind, hash) = TokenHash::parse(token)?;
        let (user, expected) = known.get(&hash)?;
        (kind == TokenKind::ApiToken && *expected == email.to_lowercase()).then_some(*user)
    };
    let mut samples = Samples::default();
    for batch in headers.chunks_exact(16) {
        let start = Instant::now();
        for encoded in batch {
            assert!(black_box(check(black_box(encoded))).is_some());
        }
        samples.push(start.elapsed(), batch.len());
    }
    row(&format!("API token, one of {tokens}: median"), samples.median(), Some(LIMIT_NS));
    let mut hashes = Samples::default();
    for batch in headers.chunks_exact(16) {
        let start = Instant::now();
        for encoded in batch {
            black_box(sha256(black_box(&encoded.as_bytes()[..44])));
        }
        hashes.push(start.elapsed(), batch.len());
    }
    row("of which SHA-256 of the 44 characters", hashes.median(), None);
}
