//! Signatures as specified: vectors of the RFCs and of Wycheproof, and what must never verify.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_crypto::jws::{
    ClaimError, ClaimsCheck, JwsAlgorithm, JwsError, SigningKey, TOKEN_CHARS_MAX, UnverifiedJws, VerifyingKey,
};
use portcullis_model::Timestamp;
use serde_json::{Value as Json, json};

fn es256() -> SigningKey {
    SigningKey::generate_es256("k1".to_owned()).expect("a key").0
}

fn token(header: &str, payload: &str, signature: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(signature))
}

fn verify(text: &str, key: &VerifyingKey) -> Result<(), JwsError> {
    UnverifiedJws::parse(text)?.verify(key).map(|_| ())
}

#[test]
fn what_is_signed_verifies_with_its_own_key_alone() {
    let claims = json!({"sub": "ben", "n": 1});
    let (rsa, _) = SigningKey::generate_rs256(String::new()).expect("a key");
    for key in [es256(), rsa, SigningKey::hs256(String::new(), &[7; 32]).expect("a key")] {
        let text = key.sign("at+jwt", &claims).expect("a token");
        let jws = UnverifiedJws::parse(&text).expect("a token");
        assert_eq!((jws.typ(), jws.kid().unwrap_or_default()), (Some("at+jwt"), key.kid()));
        let verified = jws.verify(&key.verifying_key().expect("a public key")).expect("verified");
        assert_eq!(Json::Object(verified.claims().expect("claims").clone()), claims);
        assert!(verify(&text, &es256().verifying_key().expect("a public key")).is_err());
        if let Some(jwk) = key.public_jwk() {
            let again = VerifyingKey::from_jwk(&jwk).expect("a key");
            assert!(verify(&text, &again).is_ok());
            assert_eq!(again.thumbprint(), key.verifying_key().expect("a public key").thumbprint());
        }
    }
}

#[test]
fn keys_survive_pkcs8() {
    let (key, pkcs8) = SigningKey::generate_es256("k".to_owned()).expect("a key");
    let again = {
        use portcullis_crypto::ExposeSecret;
        SigningKey::es256_from_pkcs8("k".to_owned(), pkcs8.expose_secret()).expect("a key")
    };
    let text = again.sign("JWT", &json!({})).expect("a token");
    assert!(verify(&text, &key.verifying_key().expect("a public key")).is_ok());
    assert!(SigningKey::rs256_from_pkcs8("k".to_owned(), b"no key").is_err());
}

#[test]
fn e34_the_algorithm_is_the_keys_and_never_the_tokens_choice() {
    let key = es256();
    let text = key.sign("JWT", &json!({"a": 1})).expect("a token");
    let payload = text.split('.').nth(1).expect("a payload");
    for alg in ["none", "None", "NONE", "nOnE", "", "es256", "ES384", "HS256", "RS256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
        let signature = text.split('.').nth(2).expect("a signature");
        for forged in [format!("{header}.{payload}.{signature}"), format!("{header}.{payload}.")] {
            assert!(verify(&forged, &key.verifying_key().expect("a public key")).is_err(), "{alg}");
        }
    }
}

#[test]
fn e34_a_public_key_is_never_taken_for_a_shared_secret() {
    let (rsa, _) = SigningKey::generate_rs256("r".to_owned()).expect("a key");
    let public = rsa.public_jwk().expect("a public key").to_string();
    // The attack: sign with HMAC, and the public key everyone knows as the secret.
    let forged =
        SigningKey::hs256("r".to_owned(), public.as_bytes()).expect("a key").sign("JWT", &json!({"sub": "admin"}));
    assert_eq!(
        verify(&forged.expect("a token"), &rsa.verifying_key().expect("a public key")),
        Err(JwsError::OtherAlgorithm)
    );
    assert!(VerifyingKey::from_jwk(&json!({"kty": "oct", "k": "c2VjcmV0"})).is_err());
}

#[test]
fn e34_a_key_that_a_token_brings_along_is_not_used() {
    let (ours, theirs) = (es256(), es256());
    let header = json!({"alg": "ES256", "jwk": theirs.public_jwk(), "jku": "https://evil.example/keys", "x5u": "https://evil.example/x"});
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode("{}"));
    // Signed properly, with the key in the header.
    let their_token = theirs.sign("JWT", &json!({})).expect("a token");
    let signature = their_token.split('.').nth(2).expect("a signature");
    assert_eq!(
        verify(&format!("{signed}.{signature}"), &ours.verifying_key().expect("a public key")),
        Err(JwsError::BadSignature)
    );
}

#[test]
fn e35_crit_and_other_extensions_are_refused() {
    for header in [
        r#"{"alg":"ES256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","crit":[]}"#,
        r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"ES256","b64":true}"#,
        r#"{"alg":"ES256","zip":"DEF"}"#,
        r#"{"alg":"ES256","enc":"A256GCM"}"#,
    ] {
        assert_eq!(
            UnverifiedJws::parse(&token(header, "{}", &[0; 64])).err(),
            Some(JwsError::NotUnderstood),
            "{header}"
        );
    }
}

#[test]
fn e35_a_member_that_stands_twice_is_refused() {
    for header in [
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256"}"#,
        r#"{"alg":"ES256","x":{"a":1,"a":2}}"#,
        r#"{"alg":"ES256","alg":"ES256"}"#,
    ] {
        assert_eq!(UnverifiedJws::parse(&token(header, "{}", &[0; 64])).err(), Some(JwsError::Malformed), "{header}");
    }
    let key = SigningKey::hs256(String::new(), &[7; 32]).expect("a key");
    for payload in [r#"{"sub":"a","sub":"b"}"#, r#"{"x":{"a":1,"a":2}}"#, "[]", "1", "", "{} x", "{"] {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = portcullis_crypto::hmac_sha256(&[7; 32], signed.as_bytes());
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let verified = UnverifiedJws::parse(&text)
            .expect("a token")
            .verify(&key.verifying_key().expect("a public key"))
            .expect("verified");
        assert_eq!(verified.claims().err(), Some(JwsError::NoClaims), "{payload}");
    }
}

#[test]
fn e35_what_is_not_a_compact_token_is_refused() {
    let good = es256().sign("JWT", &json!({})).expect("a token");
    let parts: Vec<&str> = good.split('.').collect();
    let padded = format!("{}=.{}.{}", parts[0], parts[1], parts[2]);
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        &format!("{good}."),
        &format!("{good}.x"),
        &format!(" {good}"),
        &format!("{good}\n"),
        &padded,
        &good.replace('.', ".."),
        &format!("{}.{}", parts[0], parts[1]),
        &token("[]", "{}", &[]),
        &token("{}", "{}", &[]),
        &token(r#"{"alg":1}"#, "{}", &[]),
        &token(r#"{"alg":"ES256","kid":1}"#, "{}", &[]),
        &token(r#"{"alg":"ES256"} "x""#, "{}", &[]),
        &token(&format!(r#"{{"alg":"ES256","x":{}1{}}}"#, "[".repeat(20), "]".repeat(20)), "{}", &[]),
        &format!("{}.{}.{}", parts[0], "A".repeat(TOKEN_CHARS_MAX), parts[2]),
    ] {
        assert!(UnverifiedJws::parse(text).is_err(), "{text:.80}");
    }
}

#[test]
fn a_signature_has_one_spelling() {
    let key = es256();
    let text = key.sign("JWT", &json!({"a": 1})).expect("a token");
    let verifying = key.verifying_key().expect("a public key");
    for position in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        assert!(changed == text || verify(&changed, &verifying).is_err(), "{position}");
    }
    // DER, and r and s of another length.
    let (signed, signature) = text.rsplit_once('.').expect("a signature");
    let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    for other in [&bytes[..63], &[bytes.as_slice(), &[0]].concat(), &[&[0], bytes.as_slice()].concat(), &[]] {
        assert!(verify(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other)), &verifying).is_err());
    }
}

#[test]
fn keys_for_something_else_are_refused() {
    let jwk = es256().public_jwk().expect("a public key");
    let with = |name: &str, value: Json| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        VerifyingKey::from_jwk(&jwk)
    };
    assert!(VerifyingKey::from_jwk(&jwk).is_ok());
    assert!(with("key_ops", json!(["verify"])).is_ok());
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!(1)),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("alg", json!("ES384")),
        ("alg", json!("HS256")),
        ("d", json!("AAAA")),
        ("crv", json!("P-384")),
        ("kty", json!("RSA")),
        ("x", json!("AAAA")),
        ("y", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        ("kid", json!(7)),
    ] {
        assert!(with(name, value.clone()).is_err(), "{name} {value}");
    }
    let small = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB"});
    assert!(VerifyingKey::from_jwk(&small).is_err(), "1024 bits");
    let exponent = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 256]), "e": "AQ"});
    assert!(VerifyingKey::from_jwk(&exponent).is_err(), "exponent 1");
    assert!(SigningKey::hs256(String::new(), &[1; 31]).is_err(), "a secret of less than 256 bits");
}

#[test]
fn vector_of_rfc_7515_a_1_verifies() {
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let key = VerifyingKey::hs256(&URL_SAFE_NO_PAD.decode(key).expect("base64url")).expect("a key");
    let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert!(verify(text, &key).is_ok());
}

#[test]
fn vector_of_rfc_7515_a_3_verifies() {
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert!(verify(text, &VerifyingKey::from_jwk(&jwk).expect("a key")).is_ok());
}

#[test]
fn vector_of_rfc_7638_has_its_thumbprint() {
    let jwk = json!({"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
    let key = VerifyingKey::from_jwk(&jwk).expect("a key");
    assert_eq!(key.thumbprint().as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    assert_eq!(key.algorithm(), JwsAlgorithm::Rs256);
}

#[test]
fn e35_claims_are_checked_with_the_clock_that_is_given() {
    let rules = ClaimsCheck {
        issuer: Some("i"),
        audience: Some("a"),
        now: Timestamp(1_000_000),
        skew_s: 60,
        lifetime_max_s: Some(600),
    };
    let check = |claims: Json| rules.check(claims.as_object().expect("an object"));
    assert_eq!(check(json!({"iss": "i", "aud": "a", "exp": 1_001, "iat": 1_000, "nbf": 1_000})), Ok(()));
    assert_eq!(check(json!({"iss": "i", "aud": ["b", "a"], "exp": 940.5})), Ok(()), "a minute of skew");
    for (claims, error) in [
        (json!({"aud": "a", "exp": 2_000}), ClaimError::Issuer),
        (json!({"iss": "I", "aud": "a", "exp": 1_001}), ClaimError::Issuer),
        (json!({"iss": ["i"], "aud": "a", "exp": 1_001}), ClaimError::Issuer),
        (json!({"iss": "i", "exp": 1_001}), ClaimError::Audience),
        (json!({"iss": "i", "aud": "b", "exp": 1_001}), ClaimError::Audience),
        (json!({"iss": "i", "aud": ["b"], "exp": 1_001}), ClaimError::Audience),
        (json!({"iss": "i", "aud": "a"}), ClaimError::NoTime),
        (json!({"iss": "i", "aud": "a", "exp": "1001"}), ClaimError::NoTime),
        (json!({"iss": "i", "aud": "a", "exp": -1}), ClaimError::NoTime),
        (json!({"iss": "i", "aud": "a", "exp": 1e300}), ClaimError::NoTime),
        (json!({"iss": "i", "aud": "a", "exp": 940}), ClaimError::Expired),
        (json!({"iss": "i", "aud": "a", "exp": 1_200, "nbf": 1_061}), ClaimError::NotYet),
        (json!({"iss": "i", "aud": "a", "exp": 1_200, "iat": 1_061}), ClaimError::NotYet),
        (json!({"iss": "i", "aud": "a", "exp": 1_601, "iat": 1_000}), ClaimError::TooLong),
        (json!({"iss": "i", "aud": "a", "exp": 1_601}), ClaimError::TooLong),
    ] {
        assert_eq!(check(claims.clone()), Err(error), "{claims}");
    }
}

/// Project Wycheproof's vectors, which are not part of this repository: they are read from the folder that `PORTCULLIS_WYCHEPROOF`
/// names, or from one beside the checkout.
#[test]
fn wycheproof_vectors_agree() {
    let folder = std::env::var_os("PORTCULLIS_WYCHEPROOF")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/wycheproof"));
    let file = folder.join("json_web_signature_test.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("NOT RUN: no Wycheproof vectors at {}; set PORTCULLIS_WYCHEPROOF", file.display());
        return;
    };
    let set: Json = serde_json::from_str(&text).expect("JSON");
    let (mut verified, mut refused, mut of_other_kinds) = (0, 0, 0);
    let mut findings = Vec::new();
    for group in set["testGroups"].as_array().expect("groups") {
        let secret = &group["private"];
        let key = match secret["kty"].as_str() {
            Some("oct") => {
                let bytes = URL_SAFE_NO_PAD.decode(secret["k"].as_str().unwrap_or_default()).unwrap_or_default();
                VerifyingKey::hs256(&bytes).ok()
            }
            _ => VerifyingKey::from_jwk(&group["public"]).ok(),
        };
        for test in group["tests"].as_array().expect("tests") {
            let (id, comment) = (&test["tcId"], test["comment"].as_str().unwrap_or_default());
            let jws = match &test["jws"] {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let valid = test["result"] == "valid";
            let Some(key) = &key else {
                // A kind of key that is none of ours (PS256, ES512, RS384): nothing is verified with it at all.
                of_other_kinds += 1;
                continue;
            };
            // Where we decide otherwise, and why.
            match id.as_i64() {
                // Marked as invalid for their padding, and have none: each is the text of a token that is valid elsewhere.
                Some(367 | 370) if verify(&jws, key).is_ok() => {
                    verified += 1;
                    continue;
                }
                // Marked as valid with a `?` in the middle: RFC 7515, section 2, has no additional characters.
                Some(372 | 373) if verify(&jws, key).is_err() => {
                    refused += 1;
                    continue;
                }
                _ => {}
            }
            match (verify(&jws, key), valid) {
                (Ok(()), true) => verified += 1,
                (Err(_), false) => refused += 1,
                (Ok(()), false) => findings.push(format!("{id} {comment}: taken")),
                (Err(error), true) => findings.push(format!("{id} {comment}: refused, {error}")),
            }
        }
    }
    eprintln!(
        "Wycheproof: {verified} verified, {refused} refused as they should be, {of_other_kinds} of kinds of keys that are not taken"
    );
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(verified + refused + of_other_kinds, set["numberOfTests"].as_i64().unwrap_or_default());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_harm(text in "[A-Za-z0-9_.=-]{0,200}") {
        let _ = UnverifiedJws::parse(&text);
    }

    #[test]
    fn any_header_is_read_without_harm(header in "\\PC{0,100}", payload in "\\PC{0,100}") {
        let _ = UnverifiedJws::parse(&token(&header, &payload, b"x")).map(|jws| (jws.kid().map(str::to_owned), jws.unverified_payload().to_vec()));
    }
}

/// The sample tokens of a Connect app and of an installation: as the vendor's library signs them, they hold here.
#[test]
fn sample_tokens_of_connect_hold() {
    let data: serde_json::Value = serde_json::from_str(include_str!("data/connect-tokens.json")).unwrap();
    let word = |pointer: &str| data.pointer(pointer).and_then(serde_json::Value::as_str).unwrap().to_owned();

    let token = word("/hs256/token");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let secret = word("/hs256/secret");
    // Secrets of ours are longer: a key of this length is not made, so the sample is held against the bare HMAC.
    assert!(VerifyingKey::hs256(secret.as_bytes()).is_err());
    let expected = portcullis_crypto::hmac_sha256(secret.as_bytes(), signed.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap(), expected);

    let pem = word("/rs256_install/public_key_pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64).unwrap();
    // SubjectPublicKeyInfo of a key of 2,048 bits: the modulus ends five bytes, the exponent none, before the end.
    let (n, e) = (&der[der.len() - 261..der.len() - 5], &der[der.len() - 3..]);
    let jwk = serde_json::json!({"kty": "RSA", "alg": "RS256", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)});
    let key = VerifyingKey::from_jwk(&jwk).unwrap();
    let token = word("/rs256_install/token");
    let verified = UnverifiedJws::parse(&token).unwrap().verify(&key).unwrap();
    assert_eq!(
        verified.claims().unwrap().get("aud").and_then(serde_json::Value::as_str),
        Some("https://app.example.com")
    );
    let mut forged = token.clone();
    forged.replace_range(
        token.len() - 4..token.len() - 3,
        if &token[token.len() - 4..token.len() - 3] == "A" { "B" } else { "A" },
    );
    assert!(UnverifiedJws::parse(&forged).is_ok_and(|jws| jws.verify(&key).is_err()));
}
