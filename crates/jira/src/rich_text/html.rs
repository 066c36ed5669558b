//! HTML in the manner of Jira's renderer: `<b>`, `<tt>`, `confluenceTable`, `code panel`.
//!
//! Nothing of the document reaches the page but through [`escape`] or as a number; tag names and attribute names are
//! ours.

use serde_json::Value;

use super::adf;

/// The document's HTML.
pub(super) fn write(nodes: &[Value]) -> String {
    let mut out = String::new();
    blocks(nodes, &mut out);
    out
}

fn blocks(nodes: &[Value], out: &mut String) {
    for node in nodes {
        block(node, out);
    }
}

fn block(node: &Value, out: &mut String) {
    let content = adf::content(node);
    match adf::kind(node) {
        "paragraph" => wrap("<p>", content, "</p>", out),
        "heading" => {
            let level = adf::heading_level(node);
            wrap(&format!("<h{level}>"), content, &format!("</h{level}>"), out);
        }
        "blockquote" => wrap("<blockquote>", content, "</blockquote>", out),
        "bulletList" | "taskList" | "decisionList" => wrap("<ul>", content, "</ul>", out),
        "orderedList" => match adf::number_attr(node, "order") {
            Some(first) if first != 1 => wrap(&format!("<ol start=\"{first}\">"), content, "</ol>", out),
            _ => wrap("<ol>", content, "</ol>", out),
        },
        "listItem" | "decisionItem" => wrap("<li>", content, "</li>", out),
        "taskItem" => {
            let mark = if adf::attr(node, "state") == "DONE" { "&#9745; " } else { "&#9744; " };
            wrap(&format!("<li>{mark}"), content, "</li>", out);
        }
        "codeBlock" => {
            out.push_str("<div class=\"code panel\"><div class=\"codeContent panelContent\"><pre");
            if !adf::attr(node, "language").is_empty() {
                out.push_str(" class=\"code-");
                escape(adf::attr(node, "language"), out);
                out.push('"');
            }
            wrap(">", content, "</pre></div></div>", out);
        }
        "panel" => {
            out.push_str("<div class=\"panel\" data-panel-type=\"");
            escape(adf::attr(node, "panelType"), out);
            wrap("\"><div class=\"panelContent\">", content, "</div></div>", out);
        }
        "rule" => out.push_str("<hr />"),
        "table" => wrap(
            "<div class=\"table-wrap\"><table class=\"confluenceTable\"><tbody>",
            content,
            "</tbody></table></div>",
            out,
        ),
        "tableRow" => wrap("<tr>", content, "</tr>", out),
        "tableHeader" => wrap(&cell_tag("th", "confluenceTh", node), content, "</th>", out),
        "tableCell" => wrap(&cell_tag("td", "confluenceTd", node), content, "</td>", out),
        "expand" | "nestedExpand" => {
            out.push_str("<details><summary>");
            escape(adf::attr(node, "title"), out);
            wrap("</summary>", content, "</details>", out);
        }
        "blockCard" | "embedCard" => {
            out.push_str("<p>");
            link(adf::card_url(node), adf::card_url(node), out);
            out.push_str("</p>");
        }
        "text" => marked_text(node, out),
        "hardBreak" => out.push_str("<br/>"),
        "mention" => mention(node, out),
        "inlineCard" => link(adf::card_url(node), adf::card_url(node), out),
        _ => {
            if content.is_empty() {
                escape(&adf::inline_label(node), out);
            }
            blocks(content, out);
        }
    }
}

fn wrap(open: &str, content: &[Value], close: &str, out: &mut String) {
    out.push_str(open);
    blocks(content, out);
    out.push_str(close);
}

fn cell_tag(tag: &str, class: &str, node: &Value) -> String {
    let mut open = format!("<{tag} class=\"{class}\"");
    for name in ["colspan", "rowspan"] {
        if let Some(span) = adf::number_attr(node, name).filter(|span| *span > 1) {
            open.push_str(&format!(" {name}=\"{span}\""));
        }
    }
    open.push('>');
    open
}

fn marked_text(node: &Value, out: &mut String) {
    let mut closing: Vec<&str> = Vec::new();
    for mark in node.get("marks").and_then(Value::as_array).into_iter().flatten() {
        let (open, close) = match adf::kind(mark) {
            "strong" => ("<b>", "</b>"),
            "em" => ("<em>", "</em>"),
            "strike" => ("<del>", "</del>"),
            "underline" => ("<ins>", "</ins>"),
            "code" => ("<tt>", "</tt>"),
            "subsup" if adf::attr(mark, "type") == "sup" => ("<sup>", "</sup>"),
            "subsup" => ("<sub>", "</sub>"),
            "textColor" if adf::is_hex_color(adf::attr(mark, "color")) => {
                out.push_str("<font color=\"");
                out.push_str(adf::attr(mark, "color"));
                ("\">", "</font>")
            }
            "link" if is_safe_href(adf::attr(mark, "href")) => {
                open_link(adf::attr(mark, "href"), out);
                ("", "</a>")
            }
            _ => continue,
        };
        out.push_str(open);
        closing.push(close);
    }
    escape(adf::text(node), out);
    for close in closing.iter().rev() {
        out.push_str(close);
    }
}

fn mention(node: &Value, out: &mut String) {
    let id = adf::attr(node, "id");
    if id.is_empty() {
        escape(&adf::inline_label(node), out);
        return;
    }
    out.push_str("<a href=\"/jira/people/");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.push_str("\" class=\"user-hover\">");
    escape(&adf::inline_label(node), out);
    out.push_str("</a>");
}

fn link(href: &str, label: &str, out: &mut String) {
    if !is_safe_href(href) {
        escape(label, out);
        return;
    }
    open_link(href, out);
    escape(label, out);
    out.push_str("</a>");
}

fn open_link(href: &str, out: &mut String) {
    out.push_str("<a href=\"");
    escape(href, out);
    out.push_str("\" class=\"external-link\" rel=\"nofollow noreferrer\">");
}

/// Whether an address may become an `href`: a list of what may, because browsers forgive too much to list what may not.
pub(super) fn is_safe_href(href: &str) -> bool {
    // Browsers drop tabs and line ends inside an address and read `\` as `/`: `/\evil.example` leaves the site.
    if href.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return false;
    }
    match adf::scheme(href).as_deref() {
        Some("http" | "https" | "mailto") => true,
        _ => (href.starts_with('/') && !href.starts_with("//")) || href.starts_with('#') || href.starts_with('?'),
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rich_text::Document;
    use serde_json::json;

    #[test]
    fn blocks_and_marks_look_as_in_jira() {
        for (markup, html) in [
            ("h2. A & B", "<h2>A &amp; B</h2>"),
            (
                "*b* _i_ -s- +u+ ^x^ ~y~ {{c}}",
                "<p><b>b</b> <em>i</em> <del>s</del> <ins>u</ins> <sup>x</sup> <sub>y</sub> <tt>c</tt></p>",
            ),
            ("a\nb\n\nc", "<p>a<br/>b</p><p>c</p>"),
            ("# a\n#* b", "<ol><li><p>a</p><ul><li><p>b</p></li></ul></li></ol>"),
            (
                "{code:java}\na < b\n{code}",
                "<div class=\"code panel\"><div class=\"codeContent panelContent\"><pre class=\"code-java\">a &lt; b</pre></div></div>",
            ),
            ("bq. q\n----", "<blockquote><p>q</p></blockquote><hr />"),
            ("{color:red}r{color}", "<p><font color=\"#ff0000\">r</font></p>"),
            (
                "[t|https://e.example/?a&b]",
                "<p><a href=\"https://e.example/?a&amp;b\" class=\"external-link\" rel=\"nofollow noreferrer\">t</a></p>",
            ),
            ("[~accountid:1:a]", "<p><a href=\"/jira/people/1:a\" class=\"user-hover\">@1:a</a></p>"),
            (
                "||h|c|",
                "<div class=\"table-wrap\"><table class=\"confluenceTable\"><tbody><tr><th class=\"confluenceTh\"><p>h</p></th><td class=\"confluenceTd\"><p>c</p></td></tr></tbody></table></div>",
            ),
        ] {
            assert_eq!(Document::from_wiki(markup).to_html(), html, "{markup:?}");
        }
    }

    #[test]
    fn only_safe_addresses_become_links() {
        for href in ["http://a", "HTTPS://a", "mailto:a@b", "/browse/A-1", "#x", "?q=1", "/a:b"] {
            assert!(is_safe_href(href), "{href:?}");
        }
        for href in [
            "",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " javascript:alert(1)",
            "java\tscript:alert(1)",
            "\u{1}javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "ftp://a",
            "//evil.example",
            "/\\evil.example",
            "https:\\\\evil",
            "x",
        ] {
            assert!(!is_safe_href(href), "{href:?}");
        }
    }

    #[test]
    fn hostile_documents_are_shown_as_text() {
        let hostile = "\"><script>alert('x')</script>";
        let document = json!({"type": "doc", "version": 1, "content": [
            {"type": "panel", "attrs": {"panelType": hostile}, "content": []},
            {"type": "codeBlock", "attrs": {"language": hostile}},
            {"type": "expand", "attrs": {"title": hostile}},
            {"type": "mention", "attrs": {"id": hostile, "text": hostile}},
            {"type": "inlineCard", "attrs": {"url": "javascript:alert(1)"}},
            {"type": "media", "attrs": {"alt": hostile}},
            {"type": "text", "text": hostile, "marks": [
                {"type": "textColor", "attrs": {"color": hostile}}, {"type": "link", "attrs": {"href": hostile}}
            ]},
            {"type": "script", "content": [{"type": "text", "text": "x"}]},
        ]});
        let html = Document::from_adf(document).unwrap().to_html();
        assert!(!html.contains("<script") && !html.contains("href=\"javascript") && !html.contains("\"\">"), "{html}");
    }
}
