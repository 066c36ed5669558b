//! Both dialects against each other: a table of examples, and what must hold for any document and any markup.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn doc(content: Value) -> Document {
    Document::from_adf(json!({"type": "doc", "version": 1, "content": content})).unwrap()
}

fn p(content: Value) -> Value {
    json!({"type": "paragraph", "content": content})
}

fn t(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn marked(text: &str, marks: Value) -> Value {
    json!({"type": "text", "text": text, "marks": marks})
}

fn linked(text: &str, href: &str) -> Value {
    marked(text, json!([{"type": "link", "attrs": {"href": href}}]))
}

fn li(content: Value) -> Value {
    json!({"type": "listItem", "content": content})
}

/// Markup that Jira could have written, and its document.
fn examples() -> Vec<(&'static str, Value)> {
    let strong = json!([{"type": "strong"}]);
    let br = json!({"type": "hardBreak"});
    vec![
        ("", json!([])),
        ("plain", json!([p(json!([t("plain")]))])),
        ("one\n\ntwo", json!([p(json!([t("one")])), p(json!([t("two")]))])),
        ("one\ntwo", json!([p(json!([t("one"), br, t("two")]))])),
        ("one\\\\\ntwo", json!([p(json!([t("one"), br, br, t("two")]))])),
        ("h1. Title", json!([{"type": "heading", "attrs": {"level": 1}, "content": [t("Title")]}])),
        ("h6. a\\\\b", json!([{"type": "heading", "attrs": {"level": 6}, "content": [t("a"), br, t("b")]}])),
        ("*bold*", json!([p(json!([marked("bold", strong.clone())]))])),
        ("_italic_", json!([p(json!([marked("italic", json!([{"type": "em"}]))]))])),
        ("-strike-", json!([p(json!([marked("strike", json!([{"type": "strike"}]))]))])),
        ("+under+", json!([p(json!([marked("under", json!([{"type": "underline"}]))]))])),
        ("x^2^", json!([p(json!([t("x^2^")]))])),
        ("x{^}2{^}", json!([p(json!([t("x"), marked("2", json!([{"type": "subsup", "attrs": {"type": "sup"}}]))]))])),
        ("^up^ ~down~", {
            let subsup = |kind: &str| json!([{"type": "subsup", "attrs": {"type": kind}}]);
            json!([p(json!([marked("up", subsup("sup")), t(" "), marked("down", subsup("sub"))]))])
        }),
        (
            "*b _both_*",
            json!([p(json!([
                marked("b ", strong.clone()),
                marked("both", json!([{"type": "strong"}, {"type": "em"}]))
            ]))]),
        ),
        ("un{*}believ{*}able", json!([p(json!([t("un"), marked("believ", strong.clone()), t("able")]))])),
        ("{{let x = \\{a: 1\\};}}", json!([p(json!([marked("let x = {a: 1};", json!([{"type": "code"}]))]))])),
        ("{{C:\\}} is *a* drive", {
            json!([p(json!([
                marked("C:\\", json!([{"type": "code"}])),
                t(" is "),
                marked("a", strong.clone()),
                t(" drive")
            ]))])
        }),
        ("{color:#ff0000}red *and bold*{color}", {
            let red = json!({"type": "textColor", "attrs": {"color": "#ff0000"}});
            json!([p(json!([marked("red ", json!([red])), marked("and bold", json!([{"type": "strong"}, red]))]))])
        }),
        (
            "{code:rust}\nfn main() {}\n\n  *x*\n{code}",
            json!([{"type": "codeBlock", "attrs": {"language": "rust"}, "content": [t("fn main() {}\n\n  *x*")]}]),
        ),
        (
            "{noformat}\n{code}x{code}\n{noformat}",
            json!([{"type": "codeBlock", "attrs": {}, "content": [t("{code}x{code}")]}]),
        ),
        (
            "{noformat}\n\\{noformat}\n{noformat}",
            json!([{"type": "codeBlock", "attrs": {}, "content": [t("{noformat}")]}]),
        ),
        (
            "{quote}\na\n\nb\n{quote}",
            json!([{"type": "blockquote", "content": [p(json!([t("a")])), p(json!([t("b")]))]}]),
        ),
        (
            "{panel:bgColor=#fffae6}\nMind the gap\n{panel}",
            json!([{"type": "panel", "attrs": {"panelType": "warning"}, "content": [p(json!([t("Mind the gap")]))]}]),
        ),
        ("----", json!([{"type": "rule"}])),
        ("* a\n** b\n*# c\n* d\n\n# e", {
            let bullets = |items: Value| json!({"type": "bulletList", "content": items});
            let numbers = |items: Value| json!({"type": "orderedList", "attrs": {"order": 1}, "content": items});
            let a = li(json!([
                p(json!([t("a")])),
                bullets(json!([li(json!([p(json!([t("b")]))]))])),
                numbers(json!([li(json!([p(json!([t("c")]))]))]))
            ]));
            json!([
                bullets(json!([a, li(json!([p(json!([t("d")]))]))])),
                numbers(json!([li(json!([p(json!([t("e")]))]))]))
            ])
        }),
        ("* a\nb", json!([{"type": "bulletList", "content": [li(json!([p(json!([t("a"), br, t("b")]))]))]}])),
        ("[text|https://example.com/a?b=c]", json!([p(json!([linked("text", "https://example.com/a?b=c")]))])),
        ("see https://example.com/a_b.", {
            json!([p(json!([t("see "), linked("https://example.com/a_b", "https://example.com/a_b"), t(".")]))])
        }),
        (
            "[https://example.com/(a)]",
            json!([p(json!([linked("https://example.com/(a)", "https://example.com/(a)")]))]),
        ),
        ("[mailto:a@example.com]", json!([p(json!([linked("mailto:a@example.com", "mailto:a@example.com")]))])),
        ("*see [x|/browse/A-1]*", {
            let link = json!({"type": "link", "attrs": {"href": "/browse/A-1"}});
            json!([p(json!([marked("see ", strong.clone()), marked("x", json!([link, {"type": "strong"}]))]))])
        }),
        (
            "[https://a.example|https://a.example|smart-link]",
            json!([p(json!([{"type": "inlineCard", "attrs": {"url": "https://a.example"}}]))]),
        ),
        (
            "[https://a.example|https://a.example|smart-card]",
            json!([{"type": "blockCard", "attrs": {"url": "https://a.example"}}]),
        ),
        ("hi [~accountid:712020:ab-cd]!", {
            json!([p(json!([t("hi "), {"type": "mention", "attrs": {"id": "712020:ab-cd"}}, t("!")]))])
        }),
        ("||a||b||\n|1|x \\| y|\n| |* i\n* j|", {
            let row = |cells: Value| json!({"type": "tableRow", "content": cells});
            let th = |text: &str| json!({"type": "tableHeader", "content": [p(json!([t(text)]))]});
            let td = |content: Value| json!({"type": "tableCell", "content": content});
            let items = json!([li(json!([p(json!([t("i")]))])), li(json!([p(json!([t("j")]))]))]);
            let list = json!({"type": "bulletList", "content": items});
            json!([{"type": "table", "content": [
                row(json!([th("a"), th("b")])),
                row(json!([td(json!([p(json!([t("1")]))])), td(json!([p(json!([t("x | y")]))]))])),
                row(json!([td(json!([p(json!([]))])), td(json!([list]))])),
            ]}])
        }),
        ("!image.png|width=10!", json!([p(json!([t("!image.png|width=10!")]))])),
        (
            "\\*not bold* a_b C++ 2024-01-01 \\{x} \\[y] - z",
            json!([p(json!([t("*not bold* a_b C++ 2024-01-01 {x} [y] - z")]))]),
        ),
        ("h1\\. no heading", json!([p(json!([t("h1. no heading")]))])),
        ("\\* no item\n\\---- x", json!([p(json!([t("* no item"), br, t("---- x")]))])),
        ("C:\\new &#92;\\host &#38;#92;", json!([p(json!([t("C:\\new \\\\host &#92;")]))])),
    ]
}

#[test]
fn wiki_and_adf_say_the_same() {
    for (markup, content) in examples() {
        let expected = doc(content);
        assert_eq!(Document::from_wiki(markup), expected, "reading {markup:?}");
        if !["x^2^", "\\* no item\n\\---- x"].contains(&markup) {
            assert_eq!(expected.to_wiki(), markup, "writing {markup:?}");
        }
    }
}

/// Markup that people write and Jira reads, and how it reads back.
#[test]
fn other_spellings_are_understood() {
    for (markup, same_as) in [
        ("a\r\nb\rc", "a\nb\nc"),
        ("- a\n- b", "* a\n* b"),
        ("*** deep", "* deep"),
        ("bq. said", "{quote}\nsaid\n{quote}"),
        ("before {code}x{code} after", "before \n\n{noformat}\nx\n{noformat}\n\n after"),
        ("{code:title=A.java|java}\nx\n{code}", "{code:java}\nx\n{code}"),
        ("{panel:title=Note|borderStyle=solid}x{panel}", "{panel:bgColor=#deebff}\n*Note*\n\nx\n{panel}"),
        ("{color:red}x{color}", "{color:#ff0000}x{color}"),
        ("{color:#F00}x{color}", "{color:#ff0000}x{color}"),
        ("| a | b |", "|a|b|"),
        ("|a|b", "|a|b|"),
        ("|a\nb|", "|a\\\\b|"),
        ("|[x|http://a.example]|{{p|q}}|", "|[x|http://a.example]|{{p|q}}|"),
        ("[http://a.example]", "http://a.example"),
        ("[t|http://a.example|tip]", "[t|http://a.example]"),
        ("(http://a.example)", "(http://a.example)"),
    ] {
        assert_eq!(Document::from_wiki(markup).to_wiki(), same_as, "{markup:?}");
    }
}

#[test]
fn what_is_not_understood_stays_text() {
    for markup in [
        "*open",
        "a * b * c",
        "{color:nocolor}x{color}",
        "{code}open",
        "{quote}open",
        "{panel}open",
        "[TODO]",
        "[x|javascript:alert(1)]",
        "{{}}",
        "{x",
    ] {
        let document = Document::from_wiki(markup);
        assert_eq!(document, doc(json!([p(json!([t(markup)]))])), "{markup:?}");
    }
}

#[test]
fn adf_beyond_wiki_is_flattened_not_lost() {
    let unknown = json!({"type": "extensionX", "content": [p(json!([t("inside")]))]});
    let task = json!({"type": "taskList", "content": [
        {"type": "taskItem", "attrs": {"state": "DONE"}, "content": [t("done")]},
        {"type": "taskItem", "attrs": {"state": "TODO"}, "content": [t("open")]},
    ]});
    let status = p(json!([
        {"type": "status", "attrs": {"text": "BUSY"}}, t(" "),
        {"type": "date", "attrs": {"timestamp": "1782864000000"}}, t(" "),
        {"type": "emoji", "attrs": {"shortName": ":x:", "text": "❌"}}
    ]));
    let code_in_item = json!({"type": "bulletList", "content": [
        li(json!([p(json!([t("a")])), {"type": "codeBlock", "content": [t("x")]}, p(json!([t("b")]))])),
        li(json!([p(json!([t("c")]))])),
    ]});
    let picture = json!({"type": "mediaSingle", "content": [{"type": "media", "attrs": {"id": "1", "alt": "a.png"}}]});
    let expand = json!({"type": "expand", "attrs": {"title": "More"}, "content": [p(json!([t("text")]))]});

    let document = doc(json!([unknown, task, status, code_in_item, picture, expand]));

    assert_eq!(
        document.to_wiki(),
        "inside\n\n* \\[x] done\n* \\[ ] open\n\nBUSY 2026-07-01 ❌\n\n\
         * a\n\n{noformat}\nx\n{noformat}\n\nb\n\n* c\n\n!a.png!\n\n*More*\n\ntext"
    );
}

#[test]
fn links_that_run_are_text_in_wiki_too() {
    let document =
        doc(json!([p(json!([linked("click", "javascript:alert(1)"), linked(" me", "https://a.example/[x] y")]))]));
    assert_eq!(document.to_wiki(), "click[ me|https://a.example/%5Bx%5D%20y]");
}

#[test]
fn markup_with_too_many_nodes_becomes_one_code_block() {
    let markup = "a\n".repeat(NODE_COUNT_MAX);
    let document = Document::from_wiki(&markup);
    assert_eq!(document, doc(json!([{"type": "codeBlock", "attrs": {}, "content": [t(&markup)]}])));
}

/// Every one of these was a way to make a naive reader quadratic or deep. A megabyte each; a quadratic reader would
/// need hours.
#[test]
fn hostile_markup_is_read_in_linear_time() {
    let pieces = [
        "{",
        "{{",
        "*",
        "* ",
        "*a ",
        "*_-+^~a ",
        "[",
        "[a|",
        "[a\\",
        "|",
        "||",
        "|a",
        "|{{",
        "|[",
        "{code}",
        "{code:",
        "{code:x}",
        "{noformat:x}",
        "{quote}",
        "{panel:x}",
        "{panel}{quote}",
        "{panel:x}{quote}{panel}",
        "{color:red}",
        "{color:red}*",
        "\\",
        "\\\\",
        "\\{",
        "&#",
        "&#9",
        "http://",
        "http://a.",
        "http://&#",
        "http://a&#",
        "h",
        "-",
        "- ",
        "#",
        "*#",
        "* a\n** b\n",
        "\n",
        " \n",
        "a\n",
        "|\n",
        "{*}",
        "{*}{_}",
        "{{a}}",
        "{{\\}",
        "}",
        "{{a\\}}}",
        "[~accountid:",
        "[http://a]",
        "é*",
        "{code}x{code}",
        "*a* _b_ ",
        "bq. ",
        "h1. \n",
        "{{{{{{a",
        "****a",
        "~accountid:",
        "\\\n",
        "[\\\n",
    ];
    for piece in pieces {
        let markup = piece.repeat(1_000_000 / piece.len());
        let started = std::time::Instant::now();
        let document = Document::from_wiki(&markup);
        let written = document.to_wiki();
        document.to_html();
        let took = started.elapsed();
        assert!(took.as_secs() < 20, "{piece:?} took {took:?}");
        assert_eq!(adf::check(document.as_json()), Ok(()), "{piece:?}");
        assert_eq!(Document::from_wiki(&written).to_wiki(), written, "{piece:?}");
    }
}

#[test]
fn hostile_text_is_written_in_linear_time() {
    for piece in [
        "*",
        "a* *",
        "{",
        "[",
        "\\",
        "&#",
        "http://",
        "http://&#",
        "http://a.",
        "|",
        "\n",
        "\n\n",
        "h1. \n",
        "- \n",
        "é ",
    ] {
        let text = piece.repeat(1_000_000 / piece.len());
        let cell = json!([{"type": "tableCell", "content": [p(json!([t(&text)]))]}]);
        let document = doc(json!([
            p(json!([t(&text)])),
            p(json!([marked(&text, json!([{"type": "code"}])), linked(&text, "http://a")])),
            {"type": "table", "content": [{"type": "tableRow", "content": cell}]},
        ]));
        let started = std::time::Instant::now();
        document.to_wiki();
        let took = started.elapsed();
        assert!(took.as_secs() < 20, "{piece:?} took {took:?}");
    }
    let links = doc(json!([p(Value::Array(vec![linked("http://a", "http://a"); NODE_COUNT_MAX - 2]))]));
    assert_eq!(links.to_wiki(), format!("[{0}|http://a]", "http://a".repeat(NODE_COUNT_MAX - 2)));
}

#[test]
fn deepest_lists_stay_within_the_limits() {
    let marker = |depth: usize| "*".repeat(depth);
    let list: Vec<String> = (1..=wiki_read::LIST_DEPTH_MAX + 1).map(|depth| format!("{} a", marker(depth))).collect();
    let markup = format!("{{panel}}{{quote}}\n|{}|\n{{quote}}{{panel}}", list.join("\n"));
    let document = Document::from_wiki(&markup);
    assert_eq!(adf::check(document.as_json()), Ok(()));

    let list = |child: Value| json!({"type": "bulletList", "content": [li(json!([p(json!([t("a")])), child]))]});
    let deep = doc(json!([(0..30).fold(p(json!([])), |child, _| list(child))]));
    let written = deep.to_wiki();
    assert_eq!(Document::from_wiki(&written).to_wiki(), written);
    assert_eq!(said(&Document::from_wiki(&written)), "a".repeat(30));
}

/// Text with everything in it that means something.
fn nasty_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ a-c1*_+^~|!#.&;:/(){}\\[\\]\\\\-]{1,4}",
        2 => "[a-zé]{1,6} ?",
        1 => prop::sample::select(vec![
            "{code}", "{noformat}", "{quote}", "{panel}", "{color}", "{{", "}}", "\\\\", "h1. ",
            "bq. ", "* ", "## ", "- ", "----", "||", "&#92;", "\n", "\r\n",
            "http://a.b/c", "https://x_y.z/-q-", "http://", "mailto:a@b", "[a|http://b]", "[~accountid:x]",
            "{*}", "\u{a0}", "<script", "\t", "{code:x}",
            "{panel:bgColor=#deebff}", "{color:red}",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

fn any_marks() -> impl Strategy<Value = Value> {
    let href = prop_oneof![
        prop::sample::select(vec![
            "http://a.b/c",
            "https://e.f/(g)",
            "mailto:x@y.z",
            "/browse/A-1",
            "javascript:alert(1)",
            "ftp://a/b c",
            "#x",
            "[|]"
        ])
        .prop_map(str::to_owned),
        nasty_text(),
    ];
    let mark = prop_oneof![
        Just(json!({"type": "strong"})),
        Just(json!({"type": "em"})),
        Just(json!({"type": "strike"})),
        Just(json!({"type": "underline"})),
        Just(json!({"type": "code"})),
        Just(json!({"type": "subsup", "attrs": {"type": "sup"}})),
        Just(json!({"type": "subsup", "attrs": {"type": "sub"}})),
        Just(json!({"type": "textColor", "attrs": {"color": "#ff0000"}})),
        Just(json!({"type": "textColor", "attrs": {"color": "#00ff00"}})),
        href.prop_map(|href| json!({"type": "link", "attrs": {"href": href}})),
    ];
    prop::collection::vec(mark, 0..4).prop_map(Value::Array)
}

fn any_line() -> impl Strategy<Value = Value> {
    let inline = prop_oneof![
        6 => (nasty_text(), any_marks()).prop_map(|(text, marks)| marked(&text, marks)),
        1 => prop::sample::select(vec!["http://a.b/c", "mailto:x@y.z"]).prop_map(|url| linked(url, url)),
        1 => Just(json!({"type": "hardBreak"})),
        1 => Just(json!({"type": "mention", "attrs": {"id": "5b10:a-b"}})),
        1 => Just(json!({"type": "inlineCard", "attrs": {"url": "https://a.b/c"}})),
    ];
    prop::collection::vec(inline, 0..6).prop_map(Value::Array)
}

fn any_block() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => any_line().prop_map(p),
        1 => (any_line(), 1..7).prop_map(|(line, level)| {
            json!({"type": "heading", "attrs": {"level": level}, "content": line})
        }),
        1 => (nasty_text(), prop::option::of("[a-z+]{1,4}")).prop_map(|(code, language)| {
            json!({"type": "codeBlock", "attrs": {"language": language}, "content": [t(&code)]})
        }),
        1 => Just(json!({"type": "rule"})),
        1 => Just(json!({"type": "blockCard", "attrs": {"url": "https://a.b/c"}})),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let blocks = prop::collection::vec(inner, 0..4);
        let items = prop::collection::vec(blocks.clone().prop_map(|content| li(Value::Array(content))), 0..4);
        let cell_type = prop::sample::select(vec!["tableHeader", "tableCell"]);
        let cell = (blocks.clone(), cell_type).prop_map(|(content, kind)| json!({"type": kind, "content": content}));
        let row = prop::collection::vec(cell, 0..4).prop_map(|cells| json!({"type": "tableRow", "content": cells}));
        prop_oneof![
            4 => (items, prop::sample::select(vec!["orderedList", "bulletList"]))
                .prop_map(|(items, kind)| json!({"type": kind, "content": items})),
            1 => blocks.clone().prop_map(|content| json!({"type": "blockquote", "content": content})),
            1 => blocks.prop_map(|content| {
                json!({"type": "panel", "attrs": {"panelType": "note"}, "content": content})
            }),
            2 => prop::collection::vec(row, 0..4).prop_map(|rows| json!({"type": "table", "content": rows})),
        ]
    })
}

fn any_document() -> impl Strategy<Value = Document> {
    prop::collection::vec(any_block(), 0..5).prop_map(|content| doc(Value::Array(content)))
}

fn any_markup() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just(""),
        Just("* "),
        Just("** "),
        Just("*# "),
        Just("|"),
        Just("||"),
        Just("h2. "),
        Just("{code}"),
        Just("{quote}"),
        Just("{panel}")
    ];
    let lines = prop::collection::vec((line, nasty_text()), 0..8)
        .prop_map(|lines| lines.iter().map(|(begin, text)| format!("{begin}{text}")).collect::<Vec<_>>().join("\n"));
    prop_oneof![4 => lines, 1 => any::<String>()]
}

/// JSON that is nearly ADF.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "doc",
        "text",
        "paragraph",
        "mention",
        "media",
        "table",
        "tableRow",
        "link",
        "code",
        "x",
        "",
        "javascript:alert(1)",
        "<script>",
        "JaVaScript:x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.prop_map(Value::from),
        Just(json!(1))
    ];
    let name = prop::sample::select(vec![
        "type", "version", "content", "marks", "attrs", "text", "href", "id", "url", "level", "x",
    ]);
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| Value::Object(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

/// Every `<` in the page begins a tag of ours, and every `href` is one that we allow.
fn assert_harmless(html: &str) {
    for (at, _) in html.match_indices('<') {
        let tag = html[at + 1..].trim_start_matches('/');
        let name = &tag[..tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap()];
        let ours = [
            "p",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "blockquote",
            "ul",
            "ol",
            "li",
            "div",
            "pre",
            "hr",
            "table",
            "tbody",
            "tr",
            "th",
            "td",
            "details",
            "summary",
            "br",
            "b",
            "em",
            "del",
            "ins",
            "tt",
            "sup",
            "sub",
            "font",
            "a",
        ];
        assert!(ours.contains(&name), "{html}");
    }
    for (at, _) in html.match_indices("href=\"") {
        let href = &html[at + 6..];
        let href = &href[..href.find('"').unwrap()];
        assert!(
            ["http:", "https:", "mailto:", "/", "#", "?"]
                .iter()
                .any(|begin| href.to_ascii_lowercase().starts_with(begin)),
            "{html}"
        );
        assert!(!href.starts_with("//"), "{html}");
    }
}

/// Characters in order, for comparing what two documents say.
fn said(document: &Document) -> String {
    document.to_text().split_whitespace().collect()
}

/// More with `PROPTEST_CASES`.
fn cases() -> u32 {
    ProptestConfig::default().cases
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn any_markup_reads_to_a_valid_document(markup in any_markup()) {
        let document = Document::from_wiki(&markup);
        prop_assert_eq!(Document::from_adf(document.as_json().clone()), Ok(document));
    }

    #[test]
    fn any_markup_is_stable_after_one_reading(markup in any_markup()) {
        let written = Document::from_wiki(&markup).to_wiki();
        prop_assert_eq!(Document::from_wiki(&written).to_wiki(), written);
    }

    #[test]
    fn any_document_is_stable_after_one_writing(document in any_document()) {
        let written = document.to_wiki();
        let read = Document::from_wiki(&written);
        prop_assert_eq!(read.to_wiki(), written);
    }

    #[test]
    fn wiki_says_all_that_the_document_says(document in any_document()) {
        prop_assert_eq!(said(&Document::from_wiki(&document.to_wiki())), said(&document));
    }

    #[test]
    fn html_of_any_document_is_harmless(document in any_document()) {
        assert_harmless(&document.to_html());
    }

    #[test]
    fn html_of_any_markup_is_harmless(markup in any_markup()) {
        assert_harmless(&Document::from_wiki(&markup).to_html());
    }

    #[test]
    fn any_json_is_taken_or_refused(content in prop::collection::vec(any_json(), 0..4), value in any_json()) {
        let _ = Document::from_adf(value);
        if let Ok(document) = Document::from_adf(json!({"type": "doc", "version": 1, "content": content})) {
            assert_harmless(&document.to_html());
            document.to_text();
            document.mentions();
            document.is_empty();
            let written = document.to_wiki();
            prop_assert_eq!(Document::from_wiki(&written).to_wiki(), written);
        }
    }
}
