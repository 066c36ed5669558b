//! Time-based one-time passwords (RFC 6238) as authenticator apps make them: SHA-1, six digits, steps of thirty seconds.

use secrecy::{ExposeSecret, SecretSlice};
use totp_rs::Builder;

use crate::Entropy;

/// Bytes of a secret: what RFC 4226, section 4, asks for.
const SECRET_BYTES: usize = 20;

/// A secret that no one-time password can be made of.
#[derive(Debug, thiserror::Error)]
#[error("the secret of a second factor has the wrong length")]
pub struct InvalidTotp;

/// One secret, shared with an authenticator app.
pub struct Totp(totp_rs::Totp);

impl Totp {
    /// A new secret, to be kept sealed.
    pub fn issue(entropy: &dyn Entropy) -> SecretSlice<u8> {
        SecretSlice::from(entropy.array::<SECRET_BYTES>().to_vec())
    }

    /// Codes of a secret.
    ///
    /// # Errors
    /// If the secret is shorter than 16 bytes.
    pub fn of(secret: &SecretSlice<u8>) -> Result<Self, InvalidTotp> {
        let builder = Builder::new().with_secret(secret.expose_secret().to_vec());
        builder.build().map(Self).map_err(|_| InvalidTotp)
    }

    /// The time step whose code this is, looked for in the present step and its two neighbours (RFC 6238, section 5.2). Spaces in the
    /// code are left out of account. Whoever accepts it keeps the step, and never accepts one that is not later.
    pub fn step_of(&self, code: &str, now_s: u64) -> Option<u64> {
        let digits: String = code.chars().filter(|letter| *letter != ' ').collect();
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0.check(&digits, now_s)
    }

    /// The code of a moment; for tests and for people who check their clock.
    pub fn code_at(&self, now_s: u64) -> String {
        self.0.generate(now_s).to_string()
    }

    /// The secret in base32, to be typed in where no code can be scanned.
    pub fn to_base32(&self) -> String {
        self.0.secret().to_base32()
    }

    /// The `otpauth:` address that an authenticator app scans (Google's Key Uri Format). Colons in the names become spaces: the format
    /// has no way to write them.
    ///
    /// # Errors
    /// If the account's name is empty.
    pub fn url(&self, issuer: &str, account: &str) -> Result<String, InvalidTotp> {
        let plain = |text: &str| text.replace(':', " ");
        let builder = Builder::new().with_secret(self.0.secret().clone());
        let named = builder.with_issuer(Some(plain(issuer))).with_account_name(plain(account));
        named.build().and_then(|totp| totp.to_url()).map_err(|_| InvalidTotp)
    }
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Totp(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Totp;
    use crate::{SecretSlice, SeededEntropy};

    /// The secret of RFC 6238, appendix B, for SHA-1.
    fn of_the_rfc() -> Totp {
        Totp::of(&SecretSlice::from(b"12345678901234567890".to_vec())).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B has eight digits; six are their end.
        for (now_s, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(of_the_rfc().code_at(now_s), code);
            assert_eq!(of_the_rfc().step_of(code, now_s), Some(now_s / 30));
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off_and_no_more() {
        let totp = of_the_rfc();
        let code = totp.code_at(1_000_000_000);
        let step = 1_000_000_000 / 30;
        assert_eq!(totp.step_of(&code, 1_000_000_030), Some(step));
        assert_eq!(totp.step_of(&code, 999_999_970), Some(step));
        assert_eq!(totp.step_of(&code, 1_000_000_060), None);
    }

    #[test]
    fn what_is_no_code_is_none() {
        let totp = of_the_rfc();
        assert_eq!(totp.step_of("287 082", 59), Some(1));
        for wrong in ["", "28708", "2870822", "-87082", "２８７０８２", "28708a"] {
            assert_eq!(totp.step_of(wrong, 59), None, "{wrong}");
        }
        assert!(Totp::of(&SecretSlice::from(vec![0; 4])).is_err());
    }

    #[test]
    fn address_names_the_site_and_the_account() {
        let totp = Totp::of(&Totp::issue(&SeededEntropy::new(1))).unwrap();
        let url = totp.url("Acme: jobs", "ada@acme.example").unwrap();
        assert!(url.starts_with("otpauth://totp/Acme%20%20jobs:ada%40acme.example?"), "{url}");
        assert!(url.contains(&totp.to_base32()), "{url}");
    }
}
