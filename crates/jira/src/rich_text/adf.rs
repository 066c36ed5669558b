//! The shape of ADF: the check at the v3 door, and the words that reader and writers share.

use std::fmt;

use serde_json::{Value, json};

/// How deep nodes may nest. Printers recurse, so this bounds their stack; Jira's editor makes no more than about twenty
/// levels.
pub const NODE_DEPTH_MAX: usize = 64;
/// How many nodes a document may have. Jira stops at 32,767 characters, which is far fewer.
pub const NODE_COUNT_MAX: usize = 20_000;
/// How many marks one node may carry. ADF knows about a dozen kinds.
pub const MARKS_PER_NODE_MAX: usize = 32;
/// How deep the JSON inside `attrs` may nest. We do not read it, but we store and print it.
pub const ATTRIBUTE_DEPTH_MAX: usize = 32;

/// A value that is not a document we accept; says where and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDocument {
    path: String,
    cause: Cause,
}

/// Why a value was refused as a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Not an object of type `doc` with version 1 and a content array.
    NotADocument,
    /// A member of `content` or `marks` is not an object.
    NotAnObject,
    /// `type` is missing or not a string.
    Type,
    /// `content` is not an array.
    Content,
    /// `marks` is not an array.
    Marks,
    /// `attrs` is not an object.
    Attributes,
    /// A text node without `text`, or with an empty one.
    Text,
    /// Deeper than [`NODE_DEPTH_MAX`], or inside `attrs` than [`ATTRIBUTE_DEPTH_MAX`].
    TooDeep,
    /// More nodes than [`NODE_COUNT_MAX`].
    TooManyNodes,
    /// More marks on one node than [`MARKS_PER_NODE_MAX`].
    TooManyMarks,
}

impl InvalidDocument {
    /// Where the first problem is, as `content[2].marks[0].type`; empty for the document itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the first problem is.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Jira's words. It puts the first under the field's name in `errors`, the second in `errorMessages`.
    pub fn public_message(&self) -> &'static str {
        match self.cause {
            Cause::NotADocument => "Operation value must be an Atlassian Document (see the Atlassian Document Format)",
            Cause::NotAnObject
            | Cause::Type
            | Cause::Content
            | Cause::Marks
            | Cause::Attributes
            | Cause::Text
            | Cause::TooDeep
            | Cause::TooManyNodes
            | Cause::TooManyMarks => "INVALID_INPUT",
        }
    }

    fn at(path: &[Step], cause: Cause) -> InvalidDocument {
        let mut text = String::new();
        for step in path {
            let (name, index) = match step {
                Step::Content(index) => ("content", index),
                Step::Mark(index) => ("marks", index),
            };
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&format!("{name}[{index}]"));
        }
        InvalidDocument { path: text, cause }
    }
}

impl fmt::Display for InvalidDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.cause {
            Cause::NotADocument => "not an object of type `doc`, version 1, with a content array",
            Cause::NotAnObject => "not an object",
            Cause::Type => "`type` is not a string",
            Cause::Content => "`content` is not an array",
            Cause::Marks => "`marks` is not an array",
            Cause::Attributes => "`attrs` is not an object",
            Cause::Text => "`text` is not a string with characters in it",
            Cause::TooDeep => "nested too deep",
            Cause::TooManyNodes => "too many nodes",
            Cause::TooManyMarks => "too many marks",
        };
        match self.path.as_str() {
            "" => write!(f, "document: {what}"),
            path => write!(f, "document at `{path}`: {what}"),
        }
    }
}

impl std::error::Error for InvalidDocument {}

enum Step {
    Content(usize),
    Mark(usize),
}

/// Accepts what [`super::Document`] promises.
pub(super) fn check(value: &Value) -> Result<(), InvalidDocument> {
    let is_document = kind(value) == "doc"
        && value.get("version").and_then(Value::as_i64) == Some(1)
        && value.get("content").is_some_and(Value::is_array);
    if !is_document {
        return Err(InvalidDocument::at(&[], Cause::NotADocument));
    }
    let mut path = Vec::new();
    let mut nodes = 0;
    check_node(value, &mut path, &mut nodes).map_err(|cause| InvalidDocument::at(&path, cause))
}

/// On refusal `path` is left standing where the problem is.
fn check_node(node: &Value, path: &mut Vec<Step>, nodes: &mut usize) -> Result<(), Cause> {
    *nodes += 1;
    if *nodes > NODE_COUNT_MAX {
        return Err(Cause::TooManyNodes);
    }
    if path.len() > NODE_DEPTH_MAX {
        return Err(Cause::TooDeep);
    }
    check_typed(node)?;
    if kind(node) == "text" && node.get("text").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Cause::Text);
    }
    if let Some(marks) = node.get("marks") {
        let marks = marks.as_array().ok_or(Cause::Marks)?;
        if marks.len() > MARKS_PER_NODE_MAX {
            return Err(Cause::TooManyMarks);
        }
        for (index, mark) in marks.iter().enumerate() {
            path.push(Step::Mark(index));
            check_typed(mark)?;
            path.pop();
        }
    }
    if let Some(content) = node.get("content") {
        for (index, child) in content.as_array().ok_or(Cause::Content)?.iter().enumerate() {
            path.push(Step::Content(index));
            check_node(child, path, nodes)?;
            path.pop();
        }
    }
    Ok(())
}

fn check_typed(node: &Value) -> Result<(), Cause> {
    let object = node.as_object().ok_or(Cause::NotAnObject)?;
    if !object.get("type").is_some_and(Value::is_string) {
        return Err(Cause::Type);
    }
    let Some(attrs) = object.get("attrs") else { return Ok(()) };
    if !attrs.is_object() {
        return Err(Cause::Attributes);
    }
    if deeper_than(attrs, ATTRIBUTE_DEPTH_MAX) { Err(Cause::TooDeep) } else { Ok(()) }
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        _ if levels == 0 => true,
        Value::Array(items) => items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(members) => members.values().any(|member| deeper_than(member, levels - 1)),
    }
}

/// The node's type; empty for what is not a node.
pub(super) fn kind(node: &Value) -> &str {
    node.get("type").and_then(Value::as_str).unwrap_or("")
}

/// The node's children.
pub(super) fn content(node: &Value) -> &[Value] {
    node.get("content").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The node's characters, for a text node.
pub(super) fn text(node: &Value) -> &str {
    node.get("text").and_then(Value::as_str).unwrap_or("")
}

/// An attribute that is a string; empty when it is missing.
pub(super) fn attr<'a>(node: &'a Value, name: &str) -> &'a str {
    node.get("attrs").and_then(|attrs| attrs.get(name)).and_then(Value::as_str).unwrap_or("")
}

/// An attribute that is a whole number.
pub(super) fn number_attr(node: &Value, name: &str) -> Option<i64> {
    node.get("attrs")?.get(name)?.as_i64()
}

/// Heading level, kept within 1 to 6.
pub(super) fn heading_level(node: &Value) -> u8 {
    number_attr(node, "level").unwrap_or(1).clamp(1, 6) as u8
}

/// The address of an inline, block or embed card. Cards may carry JSON-LD in `data` instead of `url`.
pub(super) fn card_url(node: &Value) -> &str {
    match attr(node, "url") {
        "" => node.get("attrs").and_then(|attrs| attrs.get("data")?.get("url")?.as_str()).unwrap_or(""),
        url => url,
    }
}

/// Whether a node stands inside a line. Unknown types do not: what they contain decides.
pub(super) fn is_inline(node: &Value) -> bool {
    matches!(
        kind(node),
        "text"
            | "hardBreak"
            | "mention"
            | "emoji"
            | "date"
            | "status"
            | "inlineCard"
            | "mediaInline"
            | "placeholder"
            | "inlineExtension"
    )
}

/// What an inline node other than text, break or mention reads as; for an unknown leaf its `text`, if it has one.
pub(super) fn inline_label(node: &Value) -> String {
    match kind(node) {
        "mention" => match attr(node, "text") {
            "" => format!("@{}", attr(node, "id")),
            text => text.to_owned(),
        },
        "emoji" => match attr(node, "text") {
            "" => attr(node, "shortName").to_owned(),
            text => text.to_owned(),
        },
        "date" => date_label(node).unwrap_or_default(),
        "inlineCard" | "blockCard" | "embedCard" => card_url(node).to_owned(),
        "media" | "mediaInline" => attr(node, "alt").to_owned(),
        _ => attr(node, "text").to_owned(),
    }
}

/// `2026-07-01` for a date node, which holds milliseconds since 1970 in a string.
fn date_label(node: &Value) -> Option<String> {
    let millis = attr(node, "timestamp").parse::<i64>().ok().or_else(|| number_attr(node, "timestamp"))?;
    // Days to civil date, counted in 400-year eras that begin on 1 March (Hinnant, "chrono-compatible low-level date
    // algorithms").
    let days = millis.div_euclid(86_400_000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The marks that wiki markup writes with one character around the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Strong,
    Em,
    Strike,
    Underline,
    Sup,
    Sub,
}

impl Style {
    /// In the order in which marks that begin together are opened.
    pub(super) const ALL: [Style; 6] =
        [Style::Strong, Style::Em, Style::Strike, Style::Underline, Style::Sup, Style::Sub];

    pub(super) fn of_delimiter(c: char) -> Option<Style> {
        Style::ALL.into_iter().find(|style| style.delimiter() == c)
    }

    pub(super) fn delimiter(self) -> char {
        match self {
            Style::Strong => '*',
            Style::Em => '_',
            Style::Strike => '-',
            Style::Underline => '+',
            Style::Sup => '^',
            Style::Sub => '~',
        }
    }

    fn to_json(self) -> Value {
        match self {
            Style::Strong => json!({"type": "strong"}),
            Style::Em => json!({"type": "em"}),
            Style::Strike => json!({"type": "strike"}),
            Style::Underline => json!({"type": "underline"}),
            Style::Sup => json!({"type": "subsup", "attrs": {"type": "sup"}}),
            Style::Sub => json!({"type": "subsup", "attrs": {"type": "sub"}}),
        }
    }
}

/// A set of [`Style`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Styles(u8);

impl Styles {
    pub(super) fn contains(self, style: Style) -> bool {
        self.0 & (1 << style as u8) != 0
    }
    pub(super) fn insert(&mut self, style: Style) {
        self.0 |= 1 << style as u8;
    }
    pub(super) fn remove(&mut self, style: Style) {
        self.0 &= !(1 << style as u8);
    }
    pub(super) fn and(self, other: Styles) -> Styles {
        Styles(self.0 & other.0)
    }
    pub(super) fn or(self, other: Styles) -> Styles {
        Styles(self.0 | other.0)
    }
    pub(super) fn without(self, other: Styles) -> Styles {
        Styles(self.0 & !other.0)
    }
}

/// The marks of a text node, as far as wiki markup can say them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) styles: Styles,
    /// `#` and six hexadecimal digits.
    pub(super) color: Option<String>,
    /// ADF lets `code` stand only with `link`.
    pub(super) code: bool,
    pub(super) link: Option<String>,
}

impl Marks {
    pub(super) fn of(node: &Value) -> Marks {
        let mut marks = Marks::default();
        for mark in node.get("marks").and_then(Value::as_array).into_iter().flatten() {
            match kind(mark) {
                "strong" => marks.styles.insert(Style::Strong),
                "em" => marks.styles.insert(Style::Em),
                "strike" => marks.styles.insert(Style::Strike),
                "underline" => marks.styles.insert(Style::Underline),
                "subsup" => {
                    let style = if attr(mark, "type") == "sup" { Style::Sup } else { Style::Sub };
                    marks.styles.insert(style);
                }
                "code" => marks.code = true,
                "textColor" if is_hex_color(attr(mark, "color")) => marks.color = Some(attr(mark, "color").to_owned()),
                "link" => marks.link = Some(attr(mark, "href").to_owned()),
                _ => {}
            }
        }
        marks.within_schema()
    }

    /// Drops what ADF does not let stand together.
    pub(super) fn within_schema(mut self) -> Marks {
        if self.code {
            self.styles = Styles::default();
            self.color = None;
        }
        if self.styles.contains(Style::Sup) {
            self.styles.remove(Style::Sub);
        }
        self
    }

    fn to_json(&self) -> Vec<Value> {
        let mut marks = Vec::new();
        if let Some(href) = &self.link {
            marks.push(json!({"type": "link", "attrs": {"href": href}}));
        }
        if self.code {
            marks.push(json!({"type": "code"}));
        }
        marks.extend(Style::ALL.into_iter().filter(|style| self.styles.contains(*style)).map(Style::to_json));
        if let Some(color) = &self.color {
            marks.push(json!({"type": "textColor", "attrs": {"color": color}}));
        }
        marks
    }
}

/// `#` and six hexadecimal digits, the only form of `textColor` in ADF.
pub(super) fn is_hex_color(color: &str) -> bool {
    color.strip_prefix('#').is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// One piece of a line: what wiki markup and ADF have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inline {
    Text {
        text: String,
        marks: Marks,
    },
    Break,
    Mention {
        id: String,
    },
    /// `block`: written as a card of its own, which it becomes when it is alone in its paragraph.
    Card {
        url: String,
        block: bool,
    },
}

/// Adds text, joining it to a neighbour with the same marks: ADF wants neighbours to differ.
pub(super) fn push_text(line: &mut Vec<Inline>, text: &str, marks: &Marks) {
    if text.is_empty() {
        return;
    }
    if let Some(Inline::Text { text: last, marks: last_marks }) = line.last_mut()
        && last_marks == marks
    {
        last.push_str(text);
        return;
    }
    line.push(Inline::Text { text: text.to_owned(), marks: marks.clone() });
}

/// The ADF nodes of a line.
pub(super) fn line_to_json(line: &[Inline]) -> Vec<Value> {
    line.iter()
        .map(|inline| match inline {
            Inline::Text { text, marks } => match marks.to_json() {
                marks if marks.is_empty() => json!({"type": "text", "text": text}),
                marks => json!({"type": "text", "text": text, "marks": marks}),
            },
            Inline::Break => json!({"type": "hardBreak"}),
            Inline::Mention { id } => json!({"type": "mention", "attrs": {"id": id}}),
            Inline::Card { url, .. } => json!({"type": "inlineCard", "attrs": {"url": url}}),
        })
        .collect()
}

/// A node with children and no attributes.
pub(super) fn node(kind: &str, content: Vec<Value>) -> Value {
    json!({"type": kind, "content": content})
}

/// A code block; `language` may be empty.
pub(super) fn code_block(language: &str, code: &str) -> Value {
    let attrs = if language.is_empty() { json!({}) } else { json!({"language": language}) };
    let content = if code.is_empty() { json!([]) } else { json!([{"type": "text", "text": code}]) };
    json!({"type": "codeBlock", "attrs": attrs, "content": content})
}

/// The whole document.
pub(super) fn document(content: Vec<Value>) -> Value {
    json!({"type": "doc", "version": 1, "content": content})
}

/// The address's scheme in lower case, if it has one.
pub(super) fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    well_formed.then(|| scheme.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rich_text::Document;

    fn refused(value: Value) -> (String, Cause) {
        let problem = Document::from_adf(value).unwrap_err();
        (problem.path().to_owned(), problem.cause())
    }

    fn nested(levels: usize) -> Value {
        let node = (0..levels).fold(json!({"type": "x"}), |child, _| json!({"type": "x", "content": [child]}));
        document(vec![node])
    }

    #[test]
    fn what_is_no_document_is_refused_in_jiras_words() {
        for value in [
            json!("text"),
            json!(null),
            json!([]),
            json!({}),
            json!({"type": "doc", "version": 2, "content": []}),
            json!({"type": "doc", "version": 1}),
            json!({"type": "paragraph", "version": 1, "content": []}),
        ] {
            let problem = Document::from_adf(value).unwrap_err();
            assert_eq!(problem.cause(), Cause::NotADocument);
            assert_eq!(
                problem.public_message(),
                "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
            );
        }
    }

    #[test]
    fn first_problem_is_named_by_its_path() {
        for (content, path, cause) in [
            (json!([1]), "content[0]", Cause::NotAnObject),
            (json!([{"type": "x"}, {"type": 1}]), "content[1]", Cause::Type),
            (json!([{"type": "x", "content": {}}]), "content[0]", Cause::Content),
            (json!([{"type": "x", "content": [{"type": "text"}]}]), "content[0].content[0]", Cause::Text),
            (json!([{"type": "text", "text": ""}]), "content[0]", Cause::Text),
            (json!([{"type": "x", "marks": {}}]), "content[0]", Cause::Marks),
            (json!([{"type": "x", "marks": [{"type": "a"}, "b"]}]), "content[0].marks[1]", Cause::NotAnObject),
            (json!([{"type": "x", "attrs": []}]), "content[0]", Cause::Attributes),
        ] {
            assert_eq!(refused(json!({"type": "doc", "version": 1, "content": content})), (path.to_owned(), cause));
        }
        let problem = Document::from_adf(document(vec![json!({"type": 1})])).unwrap_err();
        assert_eq!(problem.to_string(), "document at `content[0]`: `type` is not a string");
        assert_eq!(problem.public_message(), "INVALID_INPUT");
    }

    #[test]
    fn limits_are_kept() {
        assert!(Document::from_adf(nested(NODE_DEPTH_MAX - 1)).is_ok());
        assert_eq!(refused(nested(NODE_DEPTH_MAX)).1, Cause::TooDeep);
        assert!(Document::from_adf(document(vec![json!({"type": "x"}); NODE_COUNT_MAX - 1])).is_ok());
        assert_eq!(refused(document(vec![json!({"type": "x"}); NODE_COUNT_MAX])).1, Cause::TooManyNodes);
        let marks = vec![json!({"type": "x"}); MARKS_PER_NODE_MAX + 1];
        assert_eq!(refused(document(vec![json!({"type": "x", "marks": marks})])).1, Cause::TooManyMarks);
        let attrs = (0..ATTRIBUTE_DEPTH_MAX).fold(json!({}), |inner, _| json!({"x": inner}));
        assert_eq!(refused(document(vec![json!({"type": "x", "attrs": attrs})])).1, Cause::TooDeep);
    }

    #[test]
    fn unknown_nodes_pass_untouched() {
        let future = json!({"localId": "1", "type": "future", "attrs": {"a": [1]}, "z": 0});
        let value = json!({"content": [future], "type": "doc", "version": 1});
        let document = Document::from_adf(value.clone()).unwrap();
        assert_eq!(document.into_json().to_string(), value.to_string());
    }

    #[test]
    fn dates_read_as_civil_dates() {
        for (millis, date) in [("0", "1970-01-01"), ("1709164800000", "2024-02-29"), ("-1", "1969-12-31"), ("x", "")] {
            assert_eq!(inline_label(&json!({"type": "date", "attrs": {"timestamp": millis}})), date);
        }
    }
}
