//! A browser's name from what it says of itself, so that its owner recognizes it. A guess: anyone may send any text.

/// `Firefox on Linux`; the beginning of the text itself when nothing is recognized.
pub(crate) fn name(user_agent: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    // The order matters: Edge and Opera say they are Chrome, and Chrome says it is Safari.
    const BROWSERS: &[(&str, &str)] = &[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: &[(&str, &str)] = &[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "Mac"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| *name)
    };
    match (find(BROWSERS), find(SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("A program on {system}"),
        (None, None) if user_agent.trim().is_empty() => "Unknown program".to_owned(),
        (None, None) => user_agent.chars().take(SHOWN_CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn usual_browsers_are_recognized() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";
        assert_eq!(name(chrome), "Chrome on Linux");
        assert_eq!(name(&format!("{chrome} Edg/126.0")), "Edge on Linux");
        assert_eq!(name("Mozilla/5.0 (Windows NT 10.0; rv:127.0) Gecko/20100101 Firefox/127.0"), "Firefox on Windows");
        assert_eq!(
            name("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1"),
            "Safari on iPhone"
        );
    }

    #[test]
    fn others_are_shown_as_they_are_and_bounded() {
        assert_eq!(name("robot 1.0"), "robot 1.0");
        assert_eq!(name(" "), "Unknown program");
        assert_eq!(name(&"x".repeat(300)).len(), 60);
    }
}
