//! The files under `/static/`, the same for everyone.

const SVG: &str = "image/svg+xml";

/// A person without a picture, drawn at the size that a link asks for.
macro_rules! avatar {
    ($size:literal) => {
        concat!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 48 48\" width=\"",
            $size,
            "\" height=\"",
            $size,
            "\"><rect width=\"48\" height=\"48\" rx=\"24\" fill=\"#0d5e52\"/><g fill=\"#f3f1eb\">",
            "<circle cx=\"24\" cy=\"18.5\" r=\"8\"/><path d=\"M9.5 40a14.5 11.5 0 0 1 29 0 24 24 0 0 1-29 0z\"/></g></svg>\n"
        )
    };
}

/// A small mark for things that Jira's answers link an icon for; the path draws it on a square.
macro_rules! icon {
    ($color:literal, $path:literal) => {
        concat!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\" width=\"16\" height=\"16\"><rect width=\"16\" ",
            "height=\"16\" rx=\"3\" fill=\"",
            $color,
            "\"/><path d=\"",
            $path,
            "\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2\" stroke-linecap=\"round\"/></svg>\n"
        )
    };
}

/// A file under `/static/`: its content type and text.
pub fn static_file(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "portcullis.css" => ("text/css;charset=UTF-8", include_str!("../assets/portcullis.css")),
        "portcullis.js" => ("text/javascript;charset=UTF-8", include_str!("../assets/portcullis.js")),
        "connect-host.js" => ("text/javascript;charset=UTF-8", include_str!("../assets/connect-host.js")),
        "portcullis.svg" => (SVG, include_str!("../assets/portcullis.svg")),
        "favicon.svg" => (SVG, include_str!("../assets/favicon.svg")),
        "avatar-16.svg" => (SVG, avatar!("16")),
        "avatar-24.svg" => (SVG, avatar!("24")),
        "avatar-32.svg" => (SVG, avatar!("32")),
        "avatar-48.svg" => (SVG, avatar!("48")),
        "issuetype.svg" => (SVG, icon!("#0d5e52", "M4.5 8.5l2.5 2.5 4.5-6")),
        "status.svg" => (SVG, icon!("#5a6472", "M4 8h8")),
        "priority.svg" => (SVG, icon!("#b4552d", "M4 9l4-4 4 4")),
        "project.svg" => (SVG, icon!("#2f4a7d", "M4 5h8M4 8h8M4 11h5")),
        _ => return None,
    })
}

/// A file under `/atlassian-connect/`, which pages of Connect apps load.
pub fn connect_file(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "all.js" | "all-debug.js" => ("text/javascript;charset=UTF-8", include_str!("../assets/connect-all.js")),
        "all.css" => ("text/css;charset=UTF-8", "body { font-family: system-ui, sans-serif; }\n"),
        _ => return None,
    })
}
