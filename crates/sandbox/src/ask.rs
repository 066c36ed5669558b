//! What an isolate asks its own worker: computation that a library does better than JavaScript, and randomness. Nothing of it
//! leaves the worker.
//!
//! A question is JSON, `{"op": …}` with what the operation needs; an answer is `{"ok": …}` or `{"error": "…"}`. Bytes are base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use portcullis_crypto::guest::{self, Algorithm, Mode, Particulars, Scheme, Written};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sha2::Digest;

/// Random bytes for one question.
const RANDOM_BYTES_MAX: usize = 1 << 16;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Question {
    /// Bytes from the system.
    Random { bytes: usize },
    /// A digest of `data`.
    Digest { algorithm: Algorithm, data: String },
    /// An HMAC of `data` (RFC 2104).
    Hmac { algorithm: Algorithm, key: String, data: String },
    /// Whether a signature is the key's.
    Verify { scheme: Scheme, algorithm: Algorithm, written: Written, key: String, data: String, signature: String },
    /// A signature.
    Sign { scheme: Scheme, algorithm: Algorithm, written: Written, key: String, data: String },
    /// The public key of a private one.
    PublicKey { scheme: Scheme, key: String },
    /// Enciphers or deciphers.
    Cipher { mode: Mode, encrypt: bool, key: String, iv: String, aad: String, padding: bool, data: String },
    /// PBKDF2.
    Pbkdf2 { algorithm: Algorithm, password: String, salt: String, iterations: u32, bytes: usize },
    /// HKDF.
    Hkdf { algorithm: Algorithm, secret: String, salt: String, info: String, bytes: usize },
    /// The parts of a URL, as the URL standard has them.
    ParseUrl { url: String, base: Option<String> },
    /// The same after one part was changed.
    ChangeUrl { url: String, part: UrlPart, value: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum UrlPart {
    Protocol,
    Username,
    Password,
    Host,
    Hostname,
    Port,
    Pathname,
    Search,
    Hash,
}

/// The answer, as JSON text.
pub(crate) fn answer(question: &[u8]) -> Vec<u8> {
    let answered = serde_json::from_slice(question).map_err(|error| error.to_string()).and_then(compute);
    let answer = match answered {
        Ok(value) => json!({"ok": value}),
        Err(error) => json!({"error": error}),
    };
    answer.to_string().into_bytes()
}

fn compute(question: Question) -> Result<Json, String> {
    let bytes = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
    let encoded = |bytes: &[u8]| Json::String(STANDARD.encode(bytes));
    match question {
        Question::Random { bytes } => {
            if bytes > RANDOM_BYTES_MAX {
                return Err(format!("at most {RANDOM_BYTES_MAX} bytes at once"));
            }
            let mut random = vec![0; bytes];
            let mut filled = 0;
            while filled < bytes {
                filled += rustix::rand::getrandom(&mut random[filled..], rustix::rand::GetRandomFlags::empty())
                    .map_err(|error| error.to_string())?;
            }
            Ok(encoded(&random))
        }
        Question::Digest { algorithm, data } => Ok(encoded(&digest(algorithm, &bytes(&data)?))),
        Question::Hmac { algorithm, key, data } => Ok(encoded(&hmac(algorithm, &bytes(&key)?, &bytes(&data)?)?)),
        Question::Verify { scheme, algorithm, written, key, data, signature } => {
            let by = (scheme, algorithm, written);
            Ok(Json::Bool(guest::verify(by, &bytes(&key)?, &bytes(&data)?, &bytes(&signature)?)?))
        }
        Question::Sign { scheme, algorithm, written, key, data } => {
            Ok(encoded(&guest::sign((scheme, algorithm, written), &bytes(&key)?, &bytes(&data)?)?))
        }
        Question::PublicKey { scheme, key } => Ok(encoded(&guest::public_of(scheme, &bytes(&key)?)?)),
        Question::Cipher { mode, encrypt, key, iv, aad, padding, data } => {
            let (key, iv, aad) = (bytes(&key)?, bytes(&iv)?, bytes(&aad)?);
            let with = Particulars { mode, key: &key, iv: &iv, aad: &aad, padding };
            let data = bytes(&data)?;
            Ok(encoded(&if encrypt { with.encrypt(data)? } else { with.decrypt(data)? }))
        }
        Question::Pbkdf2 { algorithm, password, salt, iterations, bytes: length } => {
            let (password, salt) = (bytes(&password)?, bytes(&salt)?);
            Ok(encoded(&guest::derive_from_password(algorithm, &password, &salt, iterations, length)?))
        }
        Question::Hkdf { algorithm, secret, salt, info, bytes: length } => {
            let (secret, salt, info) = (bytes(&secret)?, bytes(&salt)?, bytes(&info)?);
            Ok(encoded(&guest::expand(algorithm, &secret, &salt, &info, length)?))
        }
        Question::ParseUrl { url, base } => {
            let base = base.map(|base| url::Url::parse(&base)).transpose().map_err(|error| error.to_string())?;
            let parsed = url::Url::options().base_url(base.as_ref()).parse(&url).map_err(|error| error.to_string())?;
            Ok(parts(&parsed))
        }
        Question::ChangeUrl { url, part, value } => {
            let mut url = url::Url::parse(&url).map_err(|error| error.to_string())?;
            // What the standard calls a failed setter leaves the URL as it was.
            let quirk = match part {
                UrlPart::Protocol => url::quirks::set_protocol(&mut url, &value),
                UrlPart::Username => url::quirks::set_username(&mut url, &value),
                UrlPart::Password => url::quirks::set_password(&mut url, &value),
                UrlPart::Host => url::quirks::set_host(&mut url, &value),
                UrlPart::Hostname => url::quirks::set_hostname(&mut url, &value),
                UrlPart::Port => url::quirks::set_port(&mut url, &value),
                UrlPart::Pathname => {
                    url::quirks::set_pathname(&mut url, &value);
                    Ok(())
                }
                UrlPart::Search => {
                    url::quirks::set_search(&mut url, &value);
                    Ok(())
                }
                UrlPart::Hash => {
                    url::quirks::set_hash(&mut url, &value);
                    Ok(())
                }
            };
            let () = quirk.unwrap_or(());
            Ok(parts(&url))
        }
    }
}

fn parts(url: &url::Url) -> Json {
    use url::quirks;
    json!({
        "href": quirks::href(url),
        "origin": quirks::origin(url),
        "protocol": quirks::protocol(url),
        "username": quirks::username(url),
        "password": quirks::password(url),
        "host": quirks::host(url),
        "hostname": quirks::hostname(url),
        "port": quirks::port(url),
        "pathname": quirks::pathname(url),
        "search": quirks::search(url),
        "hash": quirks::hash(url),
    })
}

fn digest(algorithm: Algorithm, data: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Md5 => md5::Md5::digest(data).to_vec(),
        Algorithm::Sha1 => sha1::Sha1::digest(data).to_vec(),
        Algorithm::Sha224 => sha2::Sha224::digest(data).to_vec(),
        Algorithm::Sha256 => sha2::Sha256::digest(data).to_vec(),
        Algorithm::Sha384 => sha2::Sha384::digest(data).to_vec(),
        Algorithm::Sha512 => sha2::Sha512::digest(data).to_vec(),
    }
}

fn hmac(algorithm: Algorithm, key: &[u8], data: &[u8]) -> Result<Vec<u8>, String> {
    fn of<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<Vec<u8>, String> {
        let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|error| error.to_string())?;
        mac.update(data);
        Ok(mac.finalize().into_bytes().to_vec())
    }
    match algorithm {
        Algorithm::Md5 => of::<Hmac<md5::Md5>>(key, data),
        Algorithm::Sha1 => of::<Hmac<sha1::Sha1>>(key, data),
        Algorithm::Sha224 => of::<Hmac<sha2::Sha224>>(key, data),
        Algorithm::Sha256 => of::<Hmac<sha2::Sha256>>(key, data),
        Algorithm::Sha384 => of::<Hmac<sha2::Sha384>>(key, data),
        Algorithm::Sha512 => of::<Hmac<sha2::Sha512>>(key, data),
    }
}
