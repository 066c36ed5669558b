//! Where to go after signing in: a path of our own, or the account page.

/// An authorization request of an app may be long; a browser and our own head take this.
const CHARS_MAX: usize = 8_000;
const HOME: &str = "/account";

/// The door for `return_to`. What a browser could read as another site is no path of ours: `//host`, a backslash (read as a
/// slash), a tab or line break (left out by browsers), anything that does not begin with a slash.
pub(crate) fn own_path(text: Option<&str>) -> &str {
    let Some(path) = text else { return HOME };
    let ours = path.len() <= CHARS_MAX
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    // Coming back to the sign-in page would be a circle.
    let sign_in = path == "/" || path == "/login" || path.starts_with("/login?");
    if ours && !sign_in { path } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn own_paths_are_followed() {
        for path in ["/account/sessions", "/browse/DEMO-1?x=1#y", "/a//b", "/%5Cevil"] {
            assert_eq!(own_path(Some(path)), path);
        }
    }

    #[test]
    fn other_sites_and_odd_texts_lead_to_the_account() {
        for text in [
            "",
            "/",
            "/login",
            "/login?return_to=/x",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "http://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "evil.example",
            "/\t/evil.example",
            "/a\r\nset-cookie: x=1",
            "/a b",
            "/é",
            " /account/sessions",
        ] {
            assert_eq!(own_path(Some(text)), "/account", "{text:?}");
        }
        assert_eq!(own_path(None), "/account");
        assert_eq!(own_path(Some(&format!("/{}", "a".repeat(8_000)))), "/account");
    }
}
