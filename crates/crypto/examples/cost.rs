//! What the operations on a request's path cost: `cargo run --release -p portcullis-crypto --example cost`

use std::{hint::black_box, time::Instant};

use portcullis_crypto::{
    KeyId, Password, PasswordCost, Passwords, PlainToken, Purpose, SealingKey, SealingKeys, SystemEntropy, TokenHash,
    TokenKind,
};

fn main() {
    let entropy = SystemEntropy::new();
    let token = PlainToken::issue(TokenKind::ApiToken, &entropy);
    let text = token.expose_secret();
    let typo = text.replace("ptat_", "ptst_");
    let passwords = Passwords::new(PasswordCost::OWASP);
    let password = Password::parse("correct horse battery").expect("long enough");
    let stored = passwords.hash(&password, &entropy).expect("hashed");
    let keys = SealingKeys::new(SealingKey::new(KeyId(1), &[7; 32]).expect("a key"));
    let purpose = Purpose::new("cost");
    let state = [1; 100];
    let sealed = keys.seal_to_text(&state, purpose, b"", &entropy).expect("sealed");

    measure("token: parse and hash", 1_000_000, || TokenHash::parse(black_box(text)));
    measure("token: refuse a wrong checksum", 1_000_000, || TokenHash::parse(black_box(&typo)));
    measure("token: issue", 100_000, || PlainToken::issue(TokenKind::Session, &entropy));
    measure("token: derive for a form", 100_000, || {
        PlainToken::derive(TokenKind::FormToken, text.as_bytes(), b"revoke")
    });
    measure("seal 100 bytes to text", 100_000, || keys.seal_to_text(black_box(&state), purpose, b"", &entropy));
    measure("open 100 bytes from text", 100_000, || keys.open_text(black_box(&sealed), purpose, b""));
    measure("password: verify", 20, || passwords.verify(&password, Some(&stored)));
    measure("password: verify, no such account", 20, || passwords.verify(&password, None));
}

/// Best of five runs: the one that other work on the machine disturbed least.
fn measure<T>(what: &str, times: u32, mut run: impl FnMut() -> T) {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        for _ in 0..times {
            black_box(run());
        }
        start.elapsed() / times
    });
    println!("{what:<34} {:>12.1?}", best.min().unwrap_or_default());
}
