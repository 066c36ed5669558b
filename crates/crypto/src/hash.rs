//! SHA-256, HMAC and comparison without a clock to read.

use aws_lc_rs::{constant_time, digest, hmac};

/// Length of a SHA-256 value and of an HMAC-SHA-256 tag.
pub const SHA256_BYTES: usize = 32;

/// SHA-256 (FIPS 180-4). For high-entropy input; passwords go through [`crate::password`].
pub fn sha256(bytes: &[u8]) -> [u8; SHA256_BYTES] {
    copied(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// HMAC-SHA-256 (RFC 2104). Compare the result with [`constant_time_eq`] only.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; SHA256_BYTES] {
    copied(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

/// Whether two values are equal, in a time that depends on their lengths and nothing else.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The reverse of [`hex`]; refuses capitals, so that one value has one spelling.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

// INVARIANT: both callers pass SHA-256 output, so that no byte of the array stays zero for want of input.
const _: () = assert!(digest::SHA256_OUTPUT_LEN == SHA256_BYTES);

fn copied(output: &[u8]) -> [u8; SHA256_BYTES] {
    let mut bytes = [0; SHA256_BYTES];
    for (byte, from) in bytes.iter_mut().zip(output) {
        *byte = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_matches_fips_180_4() {
        for (text, expected) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(&sha256(text.as_bytes())), expected, "of `{text}`");
        }
    }

    #[test]
    fn hmac_matches_rfc_4231() {
        let long_key = [0xaa; 131];
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long_key,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(&hmac_sha256(key, message)), expected);
        }
    }

    #[test]
    fn equality_needs_every_byte_and_the_length() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"portcullis", b"portcullis"));
        assert!(!constant_time_eq(b"portcullis", b"portculli"));
        for position in 0..10 {
            let mut other = *b"portcullis";
            other[position] ^= 1;
            assert!(!constant_time_eq(b"portcullis", &other), "byte {position}");
        }
    }

    #[test]
    fn hex_round_trips_and_has_one_spelling() {
        let bytes = sha256(b"x");
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex::<2>("00ff"), Some([0, 255]));
        for refused in ["00FF", "00f", "00ff0", "00ff00", "0 ff", "", "+0ff", "00fé"] {
            assert_eq!(unhex::<2>(refused), None, "`{refused}`");
        }
    }
}
