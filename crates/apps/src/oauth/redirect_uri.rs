//! Where an answer may be sent: registered in full, compared letter by letter (RFC 9700, section 2.1).

use portcullis_model::Problem;
use url::{Host, Url};

const CHARS_MAX: usize = 2_000;
/// Addresses of one app.
pub const PER_APP_MAX: usize = 20;

/// The door for a callback address.
///
/// `https` anywhere; `http` on this machine only; for apps without a secret also a scheme of their own, written like a domain
/// backwards (RFC 8252, section 7).
///
/// # Errors
/// 400 that says what is wrong with it.
pub fn parse(text: &str, is_public: bool) -> Result<String, Problem> {
    let wrong = |words: &str| Problem::field("redirect_uris", format!("{words} ({})", shown(text)));
    let text = text.trim();
    if text.is_empty() || text.len() > CHARS_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("A callback URL is written in plain ASCII, without blanks, and is not too long."));
    }
    if text.contains('#') {
        return Err(wrong("A callback URL has no fragment."));
    }
    if text.contains('*') || text.contains('\\') {
        return Err(wrong("A callback URL is compared letter by letter: wildcards are not possible."));
    }
    let url = Url::parse(text).map_err(|_| wrong("This is not a URL."))?;
    if !url.username().is_empty()
        || url.password().is_some()
        || text.split('/').nth(2).is_some_and(|part| part.contains('@'))
    {
        return Err(wrong("A callback URL holds no user or password."));
    }
    match url.scheme() {
        "https" if url.has_host() => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(wrong("http is possible for localhost, 127.0.0.1 and [::1] only; use https.")),
        "javascript" | "data" | "file" | "blob" | "about" | "ws" | "wss" | "ftp" => {
            return Err(wrong("This scheme cannot be a callback."));
        }
        scheme if is_public && scheme.contains('.') => {}
        _ => {
            return Err(wrong(
                "A callback URL begins with https://, or for an app without a secret with a scheme like com.example.app:",
            ));
        }
    }
    Ok(text.to_owned())
}

fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(80).collect()
}

/// Whether an address leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a presented address is the registered one. On a loopback IP literal the port may differ (RFC 8252, section 7.3), because
/// the operating system chooses it.
pub fn matches(registered: &str, presented: &str) -> bool {
    if registered == presented {
        return true;
    }
    match (without_port(registered), without_port(presented)) {
        (Some(registered), Some(presented)) => registered == presented,
        _ => false,
    }
}

/// A loopback IP address without its port: what stands before it and after it.
fn without_port(text: &str) -> Option<(&'static str, &str)> {
    for start in ["http://127.0.0.1", "http://[::1]"] {
        if let Some(rest) = text.strip_prefix(start) {
            let rest = match rest.strip_prefix(':') {
                Some(port) => {
                    let digits = port.bytes().take_while(u8::is_ascii_digit).count();
                    let (port, rest) = port.split_at(digits);
                    port.parse::<u16>().ok().filter(|port| *port > 0)?;
                    rest
                }
                None => rest,
            };
            return (rest.is_empty() || rest.starts_with('/') || rest.starts_with('?')).then_some((start, rest));
        }
    }
    None
}

/// The origin a callback belongs to, for `form-action`: scheme, host and port, or a private scheme alone.
pub fn origin(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => "'none'".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, origin, parse};

    #[test]
    fn e2_what_cannot_be_a_callback_is_refused_at_registration() {
        for text in [
            "",
            "not a url",
            "/callback",
            "//example.com/callback",
            "https://",
            "https://example.com/callback#x",
            "https://*.example.com/callback",
            "https://example.com/*",
            "https://user@example.com/callback",
            "https://user:pass@example.com/callback",
            "https://@example.com/callback",
            "http://example.com/callback",
            "http://127.0.0.1.example.com/callback",
            "http://localhost.example.com/callback",
            "http://10.0.0.1/callback",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://example.com\\@evil.example/",
            "https://example.com/call back",
            "https://exämple.com/",
            "com.example.app:/callback",
        ] {
            assert!(parse(text, false).is_err(), "{text}");
        }
        assert!(parse("myapp:/callback", true).is_err());
        for text in [
            "https://example.com/callback",
            "https://example.com/callback?x=1",
            "http://localhost:9876/callback",
            "http://127.0.0.1/callback",
            "http://[::1]:1234/callback",
        ] {
            assert_eq!(parse(text, false).ok().as_deref(), Some(text));
        }
        assert!(parse("com.example.app:/callback", true).is_ok());
    }

    #[test]
    fn e1_an_address_is_compared_letter_by_letter() {
        let registered = "https://example.com/callback";
        for presented in [
            "https://example.com/callback/",
            "https://example.com/Callback",
            "https://EXAMPLE.com/callback",
            "https://example.com:443/callback",
            "https://example.com/callback?x",
            "https://example.com/callback#x",
            "https://example.com/x/../callback",
            "https://example.com/callback%2f",
            "https://example.com.evil.example/callback",
            "http://example.com/callback",
            "https://example.com/callback ",
        ] {
            assert!(!matches(registered, presented), "{presented}");
        }
        assert!(matches(registered, registered));
    }

    #[test]
    fn e1_only_the_port_of_a_loopback_ip_address_may_differ() {
        let registered = "http://127.0.0.1:9876/callback";
        assert!(matches(registered, "http://127.0.0.1:51004/callback"));
        assert!(matches(registered, "http://127.0.0.1/callback"));
        assert!(matches("http://[::1]/callback", "http://[::1]:51004/callback"));
        for presented in [
            "http://127.0.0.1:51004/other",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:99999/callback",
            "http://127.0.0.1:1@evil.example/callback",
            "http://127.0.0.1:1.evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "https://127.0.0.1:51004/callback",
            "http://localhost:51004/callback",
            "http://[::1]:9876/callback",
            "http://127.0.0.2:9876/callback",
        ] {
            assert!(!matches(registered, presented), "{presented}");
        }
        assert!(!matches("http://localhost:9876/callback", "http://localhost:1/callback"));
    }

    #[test]
    fn origins_are_what_a_form_may_lead_to() {
        assert_eq!(origin("http://localhost:9876/callback?x"), "http://localhost:9876");
        assert_eq!(origin("https://example.com/callback"), "https://example.com");
        assert_eq!(origin("com.example.app:/callback"), "com.example.app:");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_compared_without_harm(a in "\\PC{0,80}", b in "\\PC{0,80}") {
            let _ = (matches(&a, &b), parse(&a, true).is_ok(), origin(&b));
        }
    }
}
