//! Where random bytes come from.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::hash::{SHA256_BYTES, sha256};

/// A source of random bytes. Carried by whoever acts on behalf of a request, never reached for from inside.
pub trait Entropy: Send + Sync {
    /// Overwrites all of `bytes`. A source that cannot do so must not return.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` random bytes by value: `let salt: [u8; 16] = entropy.array();`
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random UUID (RFC 9562, version 4) in its usual spelling.
    pub fn uuid(&self) -> String {
        let mut bits = u128::from_be_bytes(self.array());
        bits = (bits & !(0xf << 76)) | (0x4 << 76);
        bits = (bits & !(0x3 << 62)) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}

/// The operating system's generator, through aws-lc.
#[derive(Clone, Debug)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// One is enough for the process; making it costs nothing and reads nothing.
    #[expect(clippy::new_without_default, reason = "a random source is chosen, not defaulted to")]
    #[expect(clippy::disallowed_methods, reason = "the one module that may")]
    pub fn new() -> SystemEntropy {
        SystemEntropy(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    /// # Panics
    /// If the system's generator fails, which aws-lc itself answers by ending the process. Going on would mean
    /// predictable keys.
    #[expect(clippy::panic, reason = "no caller could do better, and none may go on")]
    fn fill(&self, bytes: &mut [u8]) {
        if self.0.fill(bytes).is_err() {
            panic!("the system's random source failed");
        }
    }
}

/// The same bytes for the same seed, for tests and the emulator. **Predictable: never for a site that holds anything
/// real.**
///
/// Block `n` of the stream is `SHA-256(label, seed, n)`. Each call takes whole blocks, so that two threads never share
/// one; which thread gets which depends on the order of their calls.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    next_block: AtomicU64,
}

impl SeededEntropy {
    /// A stream that starts at its beginning.
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy { seed, next_block: AtomicU64::new(0) }
    }

    fn block(&self, number: u64) -> [u8; SHA256_BYTES] {
        let mut input = Vec::with_capacity(LABEL.len() + 16);
        input.extend_from_slice(LABEL);
        input.extend_from_slice(&self.seed.to_be_bytes());
        input.extend_from_slice(&number.to_be_bytes());
        sha256(&input)
    }
}

const LABEL: &[u8] = b"portcullis seeded entropy";

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let blocks = bytes.len().div_ceil(SHA256_BYTES) as u64;
        let first = self.next_block.fetch_add(blocks, Ordering::Relaxed);
        for (chunk, number) in bytes.chunks_mut(SHA256_BYTES).zip(first..) {
            for (byte, random) in chunk.iter_mut().zip(self.block(number)) {
                *byte = random;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(entropy: &dyn Entropy, bytes: usize) -> Vec<u8> {
        let mut taken = vec![0; bytes];
        entropy.fill(&mut taken);
        taken
    }

    #[test]
    fn uuids_have_their_version_and_variant() {
        let uuid = |seed| (&SeededEntropy::new(seed) as &dyn Entropy).uuid();
        let text = uuid(7);
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(text, uuid(8));
    }

    #[test]
    fn same_seed_gives_same_bytes() {
        let (one, two) = (SeededEntropy::new(7), SeededEntropy::new(7));
        for bytes in [1, 16, 32, 33, 64, 100, 0, 5] {
            assert_eq!(take(&one, bytes), take(&two, bytes), "{bytes} bytes");
        }
    }

    #[test]
    fn stream_does_not_change_between_releases() {
        let first: [u8; 8] = (&SeededEntropy::new(1) as &dyn Entropy).array();
        let expected = sha256(b"portcullis seeded entropy\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0");
        assert_eq!(first, expected[..8]);
    }

    #[test]
    fn other_seeds_and_later_calls_give_other_bytes() {
        let one = SeededEntropy::new(1);
        let (first, second) = (take(&one, 32), take(&one, 32));
        assert_ne!(first, second);
        assert_ne!(first, take(&SeededEntropy::new(2), 32));
    }

    #[test]
    fn a_long_fill_is_the_stream_of_its_blocks() {
        let (long, short) = (SeededEntropy::new(9), SeededEntropy::new(9));
        let joined: Vec<u8> = (0..4).flat_map(|_| take(&short, 32)).collect();
        assert_eq!(take(&long, 128), joined);
    }

    #[test]
    fn every_byte_is_overwritten() {
        for source in [&SystemEntropy::new() as &dyn Entropy, &SeededEntropy::new(3)] {
            let mut seen = [0u8; 97];
            for _ in 0..8 {
                for (seen, byte) in seen.iter_mut().zip(take(source, 97)) {
                    *seen |= byte;
                }
            }
            assert!(seen.iter().all(|byte| *byte != 0));
        }
    }

    #[test]
    fn threads_never_share_a_block() {
        let source = SeededEntropy::new(11);
        let mut taken: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..100).map(|_| take(&source, 40)).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 400);
    }
}
