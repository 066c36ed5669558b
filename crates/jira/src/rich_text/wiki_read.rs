//! Wiki markup to ADF, in time linear in the markup and with bounded nesting.
//!
//! Three passes, each over shorter pieces: block macros (`{code}`, `{noformat}`, `{quote}`, `{panel}`) anywhere in the
//! source, then lines (headings, lists, tables, paragraphs), then what stands inside a line. The predicates that decide
//! what is markup are shared with `wiki_write`, which escapes exactly what we would take.
//!
//! Beyond Jira's help page we read what Jira Cloud itself writes: `{*}bold{*}` for marks inside a word,
//! `[url|url|smart-link]` for cards, and numeric character references such as `&#92;`.

use std::ops::Range;

use serde_json::{Value, json};

use super::adf::{self, Inline, Marks, NODE_COUNT_MAX, Style, Styles, push_text};

/// How deep lists nest; a longer marker is text.
pub(super) const LIST_DEPTH_MAX: usize = 20;
/// Pieces of one paragraph before we stop looking; bounds memory, since not every piece becomes a node.
const LINE_TOKENS_MAX: usize = 4 * NODE_COUNT_MAX;
/// Longest account id that we read as a mention, in bytes.
const ACCOUNT_ID_BYTES_MAX: usize = 128;
/// Longest name of a colour, in bytes.
const COLOR_BYTES_MAX: usize = 32;

/// Panel types by the background colour that Jira writes for them. The first is the type of a panel with another
/// colour.
pub(super) const PANEL_COLORS: [(&str, &str); 5] =
    [("info", "#deebff"), ("note", "#eae6ff"), ("success", "#e3fcef"), ("warning", "#fffae6"), ("error", "#ffebe6")];

/// Colours that people write by name.
const COLOR_NAMES: [(&str, &str); 20] = [
    ("aqua", "#00ffff"),
    ("black", "#000000"),
    ("blue", "#0000ff"),
    ("brown", "#a52a2a"),
    ("fuchsia", "#ff00ff"),
    ("gray", "#808080"),
    ("green", "#008000"),
    ("grey", "#808080"),
    ("lime", "#00ff00"),
    ("magenta", "#ff00ff"),
    ("maroon", "#800000"),
    ("navy", "#000080"),
    ("olive", "#808000"),
    ("orange", "#ffa500"),
    ("purple", "#800080"),
    ("red", "#ff0000"),
    ("silver", "#c0c0c0"),
    ("teal", "#008080"),
    ("white", "#ffffff"),
    ("yellow", "#ffff00"),
];

/// Reads any markup.
pub(super) fn read(markup: &str) -> Value {
    let source = markup.replace("\r\n", "\n").replace('\r', "\n");
    let macros = find_macros(&source);
    let mut reader = Reader { source: &source, macros: &macros, nodes: 1 };
    match reader.region(0..source.len(), 0..macros.len(), Inside::default()) {
        Ok(blocks) => adf::document(blocks),
        Err(TooManyNodes) => adf::document(vec![adf::code_block("", &source)]),
    }
}

struct TooManyNodes;

struct Reader<'a> {
    source: &'a str,
    macros: &'a [Macro],
    /// Nodes made so far, or a few more.
    nodes: usize,
}

/// Which macros we are in: neither nests in itself, because its end looks like its beginning.
#[derive(Clone, Copy, Default)]
struct Inside {
    quote: bool,
    panel: bool,
}

/// A block macro's tag; for code the whole of it.
struct Macro {
    range: Range<usize>,
    kind: MacroKind,
}

enum MacroKind {
    Code { language: String, code: String },
    Quote { end: Option<usize> },
    Panel { parameters: Range<usize>, end: Option<usize> },
}

/// Finds the block macros. What stands inside code is not looked at.
fn find_macros(source: &str) -> Vec<Macro> {
    let unescaped = |tag: &str| -> Vec<usize> {
        source.match_indices(tag).map(|(at, _)| at).filter(|at| !is_escaped(source, *at)).collect()
    };
    let code_ends = [("code", unescaped("{code}")), ("noformat", unescaped("{noformat}"))];
    let mut macros: Vec<Macro> = Vec::new();
    let mut resume = 0;
    for (start, _) in source.match_indices('{') {
        if start < resume || is_escaped(source, start) {
            continue;
        }
        let Some((name, parameters)) = macro_tag(source, start) else { continue };
        let mut end = parameters.end + 1;
        let kind = match name {
            "quote" => MacroKind::Quote { end: None },
            "panel" => MacroKind::Panel { parameters, end: None },
            _ => {
                let ends =
                    code_ends.iter().find(|(ending, _)| *ending == name).map_or(&[][..], |(_, ends)| ends.as_slice());
                let Some(close) = ends.get(ends.partition_point(|at| *at < end)) else { continue };
                let tag = format!("{{{name}}}");
                let body = &source[end..*close];
                let body = body.strip_prefix('\n').unwrap_or(body);
                let body = body.strip_suffix('\n').unwrap_or(body);
                end = close + tag.len();
                let language = if name == "code" { code_language(&source[parameters]) } else { "" };
                MacroKind::Code { language: language.to_owned(), code: body.replace(&format!("\\{tag}"), &tag) }
            }
        };
        macros.push(Macro { range: start..end, kind });
        resume = end;
    }
    pair_macros(&mut macros);
    macros
}

/// Gives each quote and panel the index of the next tag that could end it.
fn pair_macros(macros: &mut [Macro]) {
    let (mut next_quote, mut next_panel) = (None, None);
    for index in (0..macros.len()).rev() {
        match &mut macros[index].kind {
            MacroKind::Code { .. } => {}
            MacroKind::Quote { end } => *end = next_quote.replace(index),
            MacroKind::Panel { parameters, end } => {
                *end = next_panel;
                if parameters.start == parameters.end {
                    next_panel = Some(index);
                }
            }
        }
    }
}

fn is_escaped(source: &str, at: usize) -> bool {
    source[..at].ends_with('\\')
}

/// Name and parameters of the tag at `start`, if it is one of ours. The tag ends one byte after the parameters.
fn macro_tag(source: &str, start: usize) -> Option<(&'static str, Range<usize>)> {
    for name in ["code", "noformat", "quote", "panel"] {
        let Some(rest) = source[start + 1..].strip_prefix(name) else { continue };
        let after_name = start + 1 + name.len();
        if rest.starts_with('}') {
            return Some((name, after_name..after_name));
        }
        let parameters = rest.strip_prefix(':').filter(|_| name != "quote")?;
        let length = parameters.find(['}', '{', '\n']).filter(|length| parameters[*length..].starts_with('}'))?;
        return Some((name, after_name + 1..after_name + 1 + length));
    }
    None
}

/// The language among `java|title=A.java`, in a form that `wiki_write` can repeat.
fn code_language(parameters: &str) -> &str {
    let language = parameters
        .split('|')
        .map(|part| part.strip_prefix("language=").unwrap_or(part).trim())
        .find(|part| !part.contains('='));
    language.filter(|language| is_code_language(language)).unwrap_or("")
}

/// Whether `{code:language}` can say it.
pub(super) fn is_code_language(language: &str) -> bool {
    !language.is_empty() && language.bytes().all(|b| b.is_ascii_alphanumeric() || b"+#-_.".contains(&b))
}

impl Reader<'_> {
    fn spend(&mut self, nodes: usize) -> Result<(), TooManyNodes> {
        self.nodes += nodes;
        if self.nodes > NODE_COUNT_MAX { Err(TooManyNodes) } else { Ok(()) }
    }

    /// A stretch of source with the macros in it. Recurses at most twice, once for a quote and once for a panel.
    fn region(
        &mut self,
        source: Range<usize>,
        macros: Range<usize>,
        inside: Inside,
    ) -> Result<Vec<Value>, TooManyNodes> {
        let (text, all) = (self.source, self.macros);
        let mut out = Vec::new();
        let mut cursor = source.start;
        let mut index = macros.start;
        while index < macros.end {
            let Macro { range, kind } = &all[index];
            let (block, last) = match kind {
                MacroKind::Code { language, code } => {
                    self.lines(&text[cursor..range.start], Place::Block, &mut out)?;
                    self.spend(2)?;
                    (adf::code_block(language, code), index)
                }
                MacroKind::Quote { end: Some(end) } if !inside.quote && *end < macros.end => {
                    self.lines(&text[cursor..range.start], Place::Block, &mut out)?;
                    let content = self.region(
                        range.end..all[*end].range.start,
                        index + 1..*end,
                        Inside { quote: true, ..inside },
                    )?;
                    (adf::node("blockquote", self.or_empty_paragraph(content)?), *end)
                }
                MacroKind::Panel { parameters, end: Some(end) } if !inside.panel && *end < macros.end => {
                    self.lines(&text[cursor..range.start], Place::Block, &mut out)?;
                    let content = self.region(
                        range.end..all[*end].range.start,
                        index + 1..*end,
                        Inside { panel: true, ..inside },
                    )?;
                    (self.panel(&text[parameters.clone()], content)?, *end)
                }
                // A quote or panel without an end stays in the text.
                MacroKind::Quote { .. } | MacroKind::Panel { .. } => {
                    index += 1;
                    continue;
                }
            };
            out.push(block);
            cursor = all[last].range.end;
            index = last + 1;
        }
        self.lines(&text[cursor..source.end], Place::Block, &mut out)?;
        Ok(out)
    }

    /// ADF wants at least one block in a container.
    fn or_empty_paragraph(&mut self, content: Vec<Value>) -> Result<Vec<Value>, TooManyNodes> {
        self.spend(2)?;
        Ok(if content.is_empty() { vec![adf::node("paragraph", Vec::new())] } else { content })
    }

    fn panel(&mut self, parameters: &str, mut content: Vec<Value>) -> Result<Value, TooManyNodes> {
        let parameter = |name: &str| {
            parameters.split('|').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
        };
        if let Some(title) = parameter("title").filter(|title| !title.is_empty()) {
            self.spend(2)?;
            let mut strong = Marks::default();
            strong.styles.insert(Style::Strong);
            let title = [Inline::Text { text: title.to_owned(), marks: strong }];
            content.insert(0, adf::node("paragraph", adf::line_to_json(&title)));
        }
        let color = parameter("bgColor").unwrap_or("").to_ascii_lowercase();
        let kind = PANEL_COLORS.iter().find(|(_, panel_color)| *panel_color == color).unwrap_or(&PANEL_COLORS[0]).0;
        let content = self.or_empty_paragraph(content)?;
        Ok(json!({"type": "panel", "attrs": {"panelType": kind}, "content": content}))
    }

    /// Text between macros, or in a table cell.
    fn lines(&mut self, text: &str, place: Place, out: &mut Vec<Value>) -> Result<(), TooManyNodes> {
        let mut open = Open::Nothing;
        let mut start = 0;
        for line in text.split('\n') {
            let range = start..start + line.len();
            start = range.end + 1;
            if line.trim().is_empty() {
                self.close(text, std::mem::replace(&mut open, Open::Nothing), out)?;
                continue;
            }
            if let Open::Table { row, .. } = &mut open
                && !is_row_complete(&text[row.clone()])
                && !line.trim_start().starts_with('|')
            {
                row.end = range.end;
                continue;
            }
            let begins =
                line_start(line).filter(|begins| place == Place::Block || matches!(begins, LineStart::Item { .. }));
            match (begins, &mut open) {
                (Some(LineStart::Item { marker, rest }), Open::List(list)) => {
                    self.item(text, list, marker, range.end - rest.len()..range.end)?
                }
                (Some(LineStart::Row), Open::Table { rows, row }) => {
                    let row = std::mem::replace(row, range);
                    rows.push(self.row(&text[row])?);
                }
                (None, Open::Paragraph(running)) => running.end = range.end,
                (None, Open::List(list)) => {
                    if let Some(last) = list.open.last_mut() {
                        last.text.end = range.end;
                    }
                }
                (begins, open) => {
                    self.close(text, std::mem::replace(open, Open::Nothing), out)?;
                    match begins {
                        Some(LineStart::Heading { level, rest }) => {
                            let content = self.inline(rest)?;
                            let content = adf::line_to_json(&content);
                            out.push(json!({"type": "heading", "attrs": {"level": level}, "content": content}));
                        }
                        Some(LineStart::Quote { rest }) => {
                            let content = self.inline(rest)?;
                            self.spend(1)?;
                            out.push(adf::node(
                                "blockquote",
                                vec![adf::node("paragraph", adf::line_to_json(&content))],
                            ));
                        }
                        Some(LineStart::Rule) => {
                            self.spend(1)?;
                            out.push(json!({"type": "rule"}));
                        }
                        Some(LineStart::Row) => *open = Open::Table { rows: Vec::new(), row: range },
                        Some(LineStart::Item { marker, rest }) => {
                            let mut list = ListBuilder::default();
                            self.item(text, &mut list, marker, range.end - rest.len()..range.end)?;
                            *open = Open::List(list);
                        }
                        None => *open = Open::Paragraph(range),
                    }
                }
            }
        }
        self.close(text, open, out)
    }

    fn close(&mut self, text: &str, open: Open, out: &mut Vec<Value>) -> Result<(), TooManyNodes> {
        match open {
            Open::Nothing => {}
            Open::Paragraph(range) => {
                let line = self.inline(&text[range])?;
                out.push(match line.as_slice() {
                    [Inline::Card { url, block: true }] => json!({"type": "blockCard", "attrs": {"url": url}}),
                    _ => adf::node("paragraph", adf::line_to_json(&line)),
                });
            }
            Open::List(mut list) => {
                self.pop_lists(text, &mut list, 0)?;
                out.append(&mut list.roots);
            }
            Open::Table { mut rows, row } => {
                rows.push(self.row(&text[row])?);
                self.spend(1)?;
                out.push(adf::node("table", rows));
            }
        }
        Ok(())
    }

    /// A new list item. Where the marker leaves the open lists it opens one more, of the kind of its last character:
    /// levels are not skipped.
    fn item(
        &mut self,
        text: &str,
        list: &mut ListBuilder,
        marker: &str,
        item: Range<usize>,
    ) -> Result<(), TooManyNodes> {
        let kinds = marker.bytes().map(|b| b == b'#');
        let common = kinds.clone().zip(&list.open).take_while(|(ordered, open)| *ordered == open.ordered).count();
        self.pop_lists(text, list, common)?;
        match list.open.last_mut() {
            Some(last) if common == marker.len() => {
                self.finish_item(text, last)?;
                last.text = item;
            }
            _ => list.open.push(OpenList {
                ordered: marker.ends_with('#'),
                items: Vec::new(),
                text: item,
                nested: Vec::new(),
            }),
        }
        Ok(())
    }

    fn pop_lists(&mut self, text: &str, list: &mut ListBuilder, keep: usize) -> Result<(), TooManyNodes> {
        while list.open.len() > keep {
            let Some(mut last) = list.open.pop() else { break };
            self.finish_item(text, &mut last)?;
            self.spend(1)?;
            let node = match last.ordered {
                true => json!({"type": "orderedList", "attrs": {"order": 1}, "content": last.items}),
                false => adf::node("bulletList", last.items),
            };
            list.open.last_mut().map_or(&mut list.roots, |parent| &mut parent.nested).push(node);
        }
        Ok(())
    }

    fn finish_item(&mut self, text: &str, list: &mut OpenList) -> Result<(), TooManyNodes> {
        let line = self.inline(&text[list.text.clone()])?;
        self.spend(1)?;
        let mut content = vec![adf::node("paragraph", adf::line_to_json(&line))];
        content.append(&mut list.nested);
        list.items.push(adf::node("listItem", content));
        Ok(())
    }

    fn row(&mut self, row: &str) -> Result<Value, TooManyNodes> {
        let mut cells = Vec::new();
        for (header, cell) in split_row(row) {
            let mut content = Vec::new();
            // Recurses once: in a cell no line begins a table.
            self.lines(cell, Place::Cell, &mut content)?;
            let content = self.or_empty_paragraph(content)?;
            cells.push(adf::node(if header { "tableHeader" } else { "tableCell" }, content));
        }
        self.spend(1)?;
        Ok(adf::node("tableRow", cells))
    }

    fn inline(&mut self, text: &str) -> Result<Vec<Inline>, TooManyNodes> {
        let line = Line::new(text, false).read()?;
        self.spend(line.len() + 1)?;
        Ok(line)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Block,
    /// In a table cell only lists and paragraphs begin.
    Cell,
}

/// The block that the next line may continue; ranges are of the text that is being read.
enum Open {
    Nothing,
    Paragraph(Range<usize>),
    List(ListBuilder),
    Table { rows: Vec<Value>, row: Range<usize> },
}

#[derive(Default)]
struct ListBuilder {
    open: Vec<OpenList>,
    roots: Vec<Value>,
}

struct OpenList {
    ordered: bool,
    items: Vec<Value>,
    /// The item that is being read, and the lists in it.
    text: Range<usize>,
    nested: Vec<Value>,
}

/// What a line begins, if not a paragraph.
pub(super) enum LineStart<'a> {
    Heading { level: u8, rest: &'a str },
    Quote { rest: &'a str },
    Rule,
    Row,
    Item { marker: &'a str, rest: &'a str },
}

/// Looks at the beginning of a line; white space before it does not count.
pub(super) fn line_start(line: &str) -> Option<LineStart<'_>> {
    let line = line.trim_start();
    let spaced = |rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace);
    match line.as_bytes().first()? {
        b'h' => {
            let level = line.as_bytes().get(1).filter(|b| (b'1'..=b'6').contains(b))? - b'0';
            let rest = line[2..].strip_prefix('.').filter(|rest| spaced(rest))?;
            Some(LineStart::Heading { level, rest: rest.trim_start() })
        }
        b'b' => line
            .strip_prefix("bq.")
            .filter(|rest| spaced(rest))
            .map(|rest| LineStart::Quote { rest: rest.trim_start() }),
        b'|' => line.trim_end().contains(|c| c != '|').then_some(LineStart::Row),
        b'-' if line.len() >= 4 && line.trim_end().bytes().all(|b| b == b'-') => Some(LineStart::Rule),
        b'*' | b'#' | b'-' => {
            let length =
                if line.starts_with('-') { 1 } else { line.bytes().take_while(|b| matches!(b, b'*' | b'#')).count() };
            let (marker, rest) = line.split_at(length);
            let is_item = length <= LIST_DEPTH_MAX && rest.starts_with(char::is_whitespace);
            is_item.then(|| LineStart::Item { marker, rest: rest.trim_start() })
        }
        _ => None,
    }
}

/// Whether a row needs no further line.
fn is_row_complete(row: &str) -> bool {
    let row = row.trim_end();
    row.ends_with('|') && !row.ends_with("\\|")
}

/// The cells of a row, `true` for headers.
fn split_row(row: &str) -> Vec<(bool, &str)> {
    let row = row.trim();
    let mut cells = Vec::new();
    let mut codes = CodeFinder::default();
    let mut at = 0;
    while at < row.len() {
        let header = row[at..].starts_with("||");
        at += if header { 2 } else { 1 };
        let start = at;
        // Steps by bytes: all that we stop at is ASCII.
        while at < row.len() && row.as_bytes()[at] != b'|' {
            at = match row.as_bytes()[at] {
                b'\\' => (at + 2).min(row.len()),
                b'{' => codes.find(row, at).map_or(at + 1, |code| code.end + 2),
                b'[' => bracket(row, at).map_or(at + 1, |(_, end)| end),
                _ => at + 1,
            };
            while !row.is_char_boundary(at) {
                at += 1;
            }
        }
        if start < row.len() {
            cells.push((header, row[start..at].trim()));
        }
    }
    cells
}

/// Whether a mark's character may begin the mark between these neighbours: at the edge of a word, and not in a run of
/// its own kind.
pub(super) fn can_open(delimiter: char, before: Option<char>, after: Option<char>) -> bool {
    before.is_none_or(|c| !c.is_alphanumeric() && c != delimiter)
        && after.is_some_and(|c| !c.is_whitespace() && c != delimiter)
}

/// Whether a mark's character may end the mark between these neighbours.
pub(super) fn can_close(delimiter: char, before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|c| !c.is_whitespace() && c != delimiter)
        && after.is_none_or(|c| !c.is_alphanumeric() && c != delimiter)
}

/// Characters that end an address in running text; in a link they must be percent-encoded.
pub(super) fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\\' | '|' | '{' | '}' | '[' | ']' | '<' | '>' | '"')
}

/// Characters that belong to the sentence rather than to an address that they follow.
pub(super) fn trails_url(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '\'' | ')' | '*' | '_' | '-' | '+' | '^' | '~')
}

/// The web address at the beginning of the text. A character reference is no part of it.
pub(super) fn bare_url(text: &str) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    // One look at each character: to search first for the one end and then for the other would be quadratic.
    let end = text.char_indices().find(|(at, c)| ends_url(*c) || text[*at..].starts_with("&#"));
    let url = text[..end.map_or(text.len(), |(at, _)| at)].trim_end_matches(trails_url);
    (url.len() > scheme.len()).then_some(url)
}

/// Whether `[text|target]` is a link. More than may become an `href` in HTML: we keep `ftp:` for those who can use it,
/// but nothing that runs.
pub(super) fn is_link_target(target: &str) -> bool {
    if target.contains(ends_url) {
        return false;
    }
    match adf::scheme(target) {
        Some(scheme) => {
            target.len() > scheme.len() + 1 && !matches!(scheme.as_str(), "javascript" | "vbscript" | "data")
        }
        None => target.starts_with(['/', '#', '?', '.']),
    }
}

/// Whether `[target]` alone is a link: `[TODO]` and `[a:b]` are not.
pub(super) fn is_lone_link_target(target: &str) -> bool {
    is_link_target(target) && (target.contains("://") || adf::scheme(target).as_deref() == Some("mailto"))
}

/// Whether `[~accountid:id]` can say it.
pub(super) fn is_account_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ACCOUNT_ID_BYTES_MAX && !id.contains(ends_url)
}

enum Bracket<'a> {
    Mention { id: &'a str },
    Link { label: Option<&'a str>, href: &'a str },
    Card { url: &'a str, block: bool },
}

/// What the bracket at `start` holds, and where it ends. Looks no further than the next bracket, so that many in a row
/// cost no more than their length.
fn bracket(text: &str, start: usize) -> Option<(Bracket<'_>, usize)> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    let mut bars = Vec::new();
    loop {
        match bytes.get(at)? {
            b']' => break,
            b'[' | b'\n' => return None,
            b'\\' if bytes.get(at + 1) != Some(&b'\n') => at += 1,
            b'|' if bars.len() < 3 => bars.push(at),
            _ => {}
        }
        at += 1;
    }
    let part = |from: usize, bar: usize| &text[from..bars.get(bar).copied().unwrap_or(at)];
    let first = part(start + 1, 0);
    let bracket = match bars[..] {
        [] => match first.strip_prefix("~accountid:") {
            Some(id) => is_account_id(id).then_some(Bracket::Mention { id })?,
            None => is_lone_link_target(first).then_some(Bracket::Link { label: None, href: first })?,
        },
        [bar, ..] => {
            let href = part(bar + 1, 1);
            let kind = bars.get(1).map_or("", |bar| part(bar + 1, 2));
            match kind {
                _ if first.is_empty() || !is_link_target(href) => return None,
                "smart-link" => Bracket::Card { url: href, block: false },
                "smart-card" | "smart-embed" => Bracket::Card { url: href, block: true },
                _ => Bracket::Link { label: Some(first), href },
            }
        }
    };
    Some((bracket, at + 1))
}

/// Finds `{{code}}`, remembering where there is none: without that, a million braces would be a million searches.
#[derive(Default)]
struct CodeFinder {
    none_before: usize,
}

impl CodeFinder {
    /// What is between the braces at `start` and the next ones on the line. A brace inside is written `\{` or `\}`;
    /// other backslashes are themselves.
    fn find(&mut self, text: &str, start: usize) -> Option<Range<usize>> {
        if start < self.none_before || !text[start..].starts_with("{{") {
            return None;
        }
        let bytes = text.as_bytes();
        let body = start + 2;
        let mut at = body;
        loop {
            match bytes.get(at) {
                None | Some(b'\n') => {
                    self.none_before = at;
                    return None;
                }
                Some(b'\\') => {
                    let braces = bytes[at + 1..].iter().take(3).take_while(|b| **b == b'}').count();
                    at += match bytes.get(at + 1) {
                        // Code that ends in a backslash: `{{C:\}}`.
                        Some(b'}') if braces == 2 => 1,
                        Some(b'{' | b'}') => 2,
                        _ => 1,
                    };
                }
                Some(b'}') if bytes.get(at + 1) == Some(&b'}') => break,
                Some(_) => at += 1,
            }
        }
        (at > body).then_some(body..at)
    }
}

/// What may follow a backslash to be taken literally. Before anything else a backslash is a backslash.
const ESCAPABLE: &str = "*_-+^~{}[]|!#.";

/// Reads what stands inside a paragraph, item, heading or cell. Line ends become hard breaks.
struct Line<'a> {
    text: &'a str,
    in_link: bool,
    tokens: Vec<Token<'a>>,
    /// Characters since the last token.
    pending: String,
    /// Indices of tokens that may still become the beginning of a mark; at most one per kind.
    open: Vec<usize>,
    codes: CodeFinder,
}

enum Token<'a> {
    Text(String),
    Code(String),
    Inline(Inline),
    Link { href: &'a str, label: Vec<Inline> },
    Delimiter { mark: Mark, source: &'a str, role: Role },
}

#[derive(Clone, PartialEq, Eq)]
enum Mark {
    Style(Style),
    Color(String),
}

#[derive(Clone, Copy)]
enum Role {
    Literal,
    Begin,
    End,
}

impl<'a> Line<'a> {
    fn new(text: &'a str, in_link: bool) -> Line<'a> {
        Line {
            text,
            in_link,
            tokens: Vec::new(),
            pending: String::new(),
            open: Vec::new(),
            codes: CodeFinder::default(),
        }
    }

    fn read(mut self) -> Result<Vec<Inline>, TooManyNodes> {
        let mut at = 0;
        while let Some(c) = self.text[at..].chars().next() {
            at += self.step(at, c)?;
            if self.tokens.len() > LINE_TOKENS_MAX {
                return Err(TooManyNodes);
            }
        }
        self.flush();
        Ok(self.resolve())
    }

    /// Takes what is at `at` and says how long it was.
    fn step(&mut self, at: usize, c: char) -> Result<usize, TooManyNodes> {
        let rest = &self.text[at..];
        match c {
            '\\' => match rest[1..].chars().next() {
                Some('\\') => {
                    self.push(Token::Inline(Inline::Break));
                    Ok(2)
                }
                Some(next) if ESCAPABLE.contains(next) => {
                    self.pending.push(next);
                    Ok(2)
                }
                _ => Ok(self.literal(c)),
            },
            '\n' => {
                // Only colour goes on across lines: a stray `*` must not reach far.
                let tokens = &self.tokens;
                self.open.retain(|index| matches!(&tokens[*index], Token::Delimiter { mark: Mark::Color(_), .. }));
                self.push(Token::Inline(Inline::Break));
                Ok(1)
            }
            '{' => Ok(self.brace(at)),
            '[' if !self.in_link => self.bracket(at),
            '&' => match character_reference(rest) {
                Some((c, length)) => {
                    self.pending.push(c);
                    Ok(length)
                }
                None => Ok(self.literal(c)),
            },
            'h' if !self.in_link && !self.before(at).is_some_and(char::is_alphanumeric) => match bare_url(rest) {
                Some(url) => {
                    self.link(url, vec![Inline::Text { text: url.to_owned(), marks: Marks::default() }]);
                    Ok(url.len())
                }
                None => Ok(self.literal(c)),
            },
            _ => {
                let Some(style) = Style::of_delimiter(c) else { return Ok(self.literal(c)) };
                let (before, after) = (self.before(at), rest[1..].chars().next());
                self.delimiter(Mark::Style(style), &rest[..1], can_open(c, before, after), can_close(c, before, after));
                Ok(1)
            }
        }
    }

    fn before(&self, at: usize) -> Option<char> {
        self.text[..at].chars().next_back()
    }

    fn literal(&mut self, c: char) -> usize {
        self.pending.push(c);
        c.len_utf8()
    }

    fn brace(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        if let Some(code) = self.codes.find(self.text, at) {
            let length = code.len() + 4;
            let text = self.text[code].replace("\\{", "{").replace("\\}", "}");
            self.push(Token::Code(text));
            return length;
        }
        let forced = rest[1..].chars().next().and_then(Style::of_delimiter).filter(|_| rest[2..].starts_with('}'));
        if let Some(style) = forced {
            self.delimiter(Mark::Style(style), &rest[..3], true, true);
            return 3;
        }
        if rest.starts_with("{color}") {
            self.delimiter(Mark::Color(String::new()), &rest[..7], false, true);
            return 7;
        }
        if let Some((color, length)) = color_tag(rest) {
            self.delimiter(Mark::Color(color), &rest[..length], true, false);
            return length;
        }
        self.literal('{')
    }

    fn bracket(&mut self, at: usize) -> Result<usize, TooManyNodes> {
        let Some((bracket, end)) = bracket(self.text, at) else { return Ok(self.literal('[')) };
        match bracket {
            Bracket::Mention { id } => self.push(Token::Inline(Inline::Mention { id: id.to_owned() })),
            Bracket::Card { url, block } => self.push(Token::Inline(Inline::Card { url: url.to_owned(), block })),
            Bracket::Link { label: None, href } => {
                self.link(href, vec![Inline::Text { text: href.to_owned(), marks: Marks::default() }])
            }
            // Recurses once: there is no link in a link.
            Bracket::Link { label: Some(label), href } => {
                let label = Line::new(label, true).read()?;
                self.link(href, label);
            }
        }
        Ok(end - at)
    }

    fn link(&mut self, href: &'a str, label: Vec<Inline>) {
        self.push(Token::Link { href, label });
    }

    fn delimiter(&mut self, mark: Mark, source: &'a str, can_open: bool, can_close: bool) {
        let tokens = &self.tokens;
        let opened = self.open.iter().rposition(|index| match (&tokens[*index], &mark) {
            (Token::Delimiter { mark: Mark::Color(_), .. }, Mark::Color(_)) => true,
            (Token::Delimiter { mark: open, .. }, mark) => open == mark,
            _ => false,
        });
        match opened {
            Some(position) if can_close => {
                let index = self.open[position];
                // What was begun inside and not ended was not a mark.
                self.open.truncate(position);
                if let Token::Delimiter { role, .. } = &mut self.tokens[index] {
                    *role = Role::Begin;
                }
                self.push(Token::Delimiter { mark, source, role: Role::End });
            }
            None if can_open => {
                self.push(Token::Delimiter { mark, source, role: Role::Literal });
                self.open.push(self.tokens.len() - 1);
            }
            _ => self.pending.push_str(source),
        }
    }

    fn push(&mut self, token: Token<'a>) {
        self.flush();
        self.tokens.push(token);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.tokens.push(Token::Text(std::mem::take(&mut self.pending)));
        }
    }

    fn resolve(self) -> Vec<Inline> {
        let mut line = Vec::new();
        let mut marks = Marks::default();
        for token in self.tokens {
            match token {
                Token::Text(text) => push_text(&mut line, &text, &marks.clone().within_schema()),
                Token::Code(text) => push_text(&mut line, &text, &Marks { code: true, ..Marks::default() }),
                Token::Inline(inline) => line.push(inline),
                Token::Link { href, label } => {
                    for inline in label {
                        match inline {
                            Inline::Text { text, marks: inner } => {
                                push_text(&mut line, &text, &around(&marks, inner, href))
                            }
                            other => line.push(other),
                        }
                    }
                }
                Token::Delimiter { source, role: Role::Literal, .. } => {
                    push_text(&mut line, source, &marks.clone().within_schema())
                }
                Token::Delimiter { mark, role: Role::Begin, .. } => match mark {
                    Mark::Style(style) => marks.styles.insert(style),
                    Mark::Color(color) => marks.color = Some(color),
                },
                Token::Delimiter { mark, role: Role::End, .. } => match mark {
                    Mark::Style(style) => marks.styles.remove(style),
                    Mark::Color(_) => marks.color = None,
                },
            }
        }
        line
    }
}

/// The marks of a link's label, within the marks around the link.
fn around(outer: &Marks, inner: Marks, href: &str) -> Marks {
    let styles: Styles = outer.styles.or(inner.styles);
    Marks { styles, color: inner.color.or_else(|| outer.color.clone()), code: inner.code, link: Some(href.to_owned()) }
        .within_schema()
}

fn character_reference(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix("&#")?;
    let length = digits.bytes().take(8).take_while(u8::is_ascii_digit).count();
    digits[length..].strip_prefix(';')?;
    let c = char::from_u32(digits[..length].parse().ok()?).filter(|c| !c.is_control())?;
    Some((c, length + 3))
}

/// The colour of `{color:red}`, as ADF writes it, and the tag's length.
fn color_tag(text: &str) -> Option<(String, usize)> {
    let value = text.strip_prefix("{color:")?;
    let length = value.bytes().take(COLOR_BYTES_MAX).position(|b| b == b'}')?;
    let color = value[..length].trim().to_ascii_lowercase();
    let hex = match COLOR_NAMES.iter().find(|(name, _)| *name == color) {
        Some((_, hex)) => (*hex).to_owned(),
        None => match color.strip_prefix('#') {
            Some(digits) if digits.len() == 3 => {
                digits.chars().fold("#".to_owned(), |hex, digit| format!("{hex}{digit}{digit}"))
            }
            _ => color,
        },
    };
    adf::is_hex_color(&hex).then_some((hex, length + 8))
}
