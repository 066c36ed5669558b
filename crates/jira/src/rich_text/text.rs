//! What a document says, without how it looks.

use serde_json::Value;

use super::adf;

/// One line per block; a hard break ends a line too.
pub(super) fn write(nodes: &[Value]) -> String {
    let mut out = String::new();
    blocks(nodes, &mut out);
    out.truncate(out.trim_end().len());
    out
}

fn blocks(nodes: &[Value], out: &mut String) {
    for node in nodes {
        match adf::kind(node) {
            "text" => out.push_str(adf::text(node)),
            "hardBreak" => out.push('\n'),
            _ if adf::is_inline(node) => out.push_str(&adf::inline_label(node)),
            _ => {
                end_line(out);
                if matches!(adf::kind(node), "expand" | "nestedExpand") {
                    out.push_str(adf::attr(node, "title"));
                    end_line(out);
                }
                match adf::content(node) {
                    [] => out.push_str(&adf::inline_label(node)),
                    content => blocks(content, out),
                }
                end_line(out);
            }
        }
    }
}

fn end_line(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

/// Whether no node shows anything.
pub(super) fn is_empty(nodes: &[Value]) -> bool {
    nodes.iter().all(|node| match adf::kind(node) {
        "text" => adf::text(node).trim().is_empty(),
        "hardBreak" => true,
        // A container without content shows nothing; any other leaf (picture, rule, card, unknown) does.
        "paragraph" | "heading" | "blockquote" | "panel" | "codeBlock" | "bulletList" | "orderedList" | "listItem"
        | "taskList" | "taskItem" | "decisionList" | "decisionItem" | "table" | "tableRow" | "tableCell"
        | "tableHeader" | "mediaSingle" | "mediaGroup" | "layoutSection" | "layoutColumn" => {
            is_empty(adf::content(node))
        }
        "expand" | "nestedExpand" => adf::attr(node, "title").trim().is_empty() && is_empty(adf::content(node)),
        _ => !adf::content(node).is_empty() && is_empty(adf::content(node)),
    })
}

/// Account ids, each once.
pub(super) fn mentions(nodes: &[Value]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut seen = std::collections::HashSet::new();
    collect_mentions(nodes, &mut |id| {
        if seen.insert(id.to_owned()) {
            ids.push(id.to_owned());
        }
    });
    ids
}

fn collect_mentions(nodes: &[Value], found: &mut impl FnMut(&str)) {
    for node in nodes {
        if adf::kind(node) == "mention" && !adf::attr(node, "id").is_empty() {
            found(adf::attr(node, "id"));
        }
        collect_mentions(adf::content(node), found);
    }
}

#[cfg(test)]
mod tests {
    use crate::rich_text::Document;
    use serde_json::json;

    #[test]
    fn text_has_a_line_per_block() {
        let markup = "h1. *T*\na [l|http://x] [~accountid:1]\n\n* i\n** j\n\n||h||\n|c|\n\n{code}\nx\ny\n{code}";
        assert_eq!(Document::from_wiki(markup).to_text(), "T\na l @1\ni\nj\nh\nc\nx\ny");
    }

    #[test]
    fn only_what_shows_nothing_is_empty() {
        for markup in ["", " \n ", "\\\\", "{quote}{quote}", "* \n", "| |"] {
            assert!(Document::from_wiki(markup).is_empty(), "{markup:?}");
        }
        for markup in ["a", "----", "[~accountid:1]", "[http://a|http://a|smart-card]", "* a"] {
            assert!(!Document::from_wiki(markup).is_empty(), "{markup:?}");
        }
        let picture = json!([{"type": "mediaSingle", "content": [{"type": "media", "attrs": {"id": "1"}}]}]);
        let document = Document::from_adf(json!({"type": "doc", "version": 1, "content": picture})).unwrap();
        assert!(!document.is_empty());
    }

    #[test]
    fn mentions_are_named_once_each() {
        let document = Document::from_wiki("[~accountid:b] [~accountid:a]\n\n* [~accountid:b]");
        assert_eq!(document.mentions(), ["b", "a"]);
    }
}
