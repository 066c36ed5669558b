//! ADF to wiki markup.
//!
//! Wiki markup says less than ADF, so writing first brings the document into the form that `wiki_read` would make of
//! it, and then prints that form. Hence the promise that the tests hold us to: what we write reads back to a document
//! that writes the same. Blocks that cannot stand in a list item or a table cell are moved out of it or flattened;
//! nothing that carries text is dropped.

use std::iter;

use serde_json::Value;

use super::adf::{self, Inline, Marks, Style, Styles, push_text};
use super::wiki_read::{
    LIST_DEPTH_MAX, LineStart, PANEL_COLORS, bare_url, can_close, can_open, ends_url, is_account_id, is_code_language,
    is_link_target, is_lone_link_target, line_start, trails_url,
};

/// The document's markup.
pub(super) fn write(nodes: &[Value]) -> String {
    blocks(nodes, Inside::default()).join("\n\n")
}

/// Which macros we are in; they cannot nest in themselves.
#[derive(Clone, Copy, Default)]
struct Inside {
    quote: bool,
    panel: bool,
}

/// The blocks' markup, one string each. Recursion is bounded by the depth of a checked document.
fn blocks(nodes: &[Value], inside: Inside) -> Vec<String> {
    let mut out = Vec::new();
    for (inline, nodes) in runs(nodes) {
        match inline {
            true => out.extend(paragraph(&line_of(nodes))),
            false => nodes.iter().for_each(|node| block(node, inside, &mut out)),
        }
    }
    out
}

/// Splits children into runs of inline nodes (`true`) and of blocks.
fn runs(nodes: &[Value]) -> impl Iterator<Item = (bool, &[Value])> {
    nodes.chunk_by(|a, b| adf::is_inline(a) == adf::is_inline(b)).map(|run| (adf::is_inline(&run[0]), run))
}

fn block(node: &Value, inside: Inside, out: &mut Vec<String>) {
    let content = adf::content(node);
    match adf::kind(node) {
        "heading" => {
            let text = render(&line_of(content), Place::Heading);
            if !text.trim().is_empty() {
                out.push(format!("h{}. {}", adf::heading_level(node), text.trim_start()));
            }
        }
        "bulletList" | "orderedList" | "taskList" | "decisionList" => {
            let mut list = ListWriter { inside, lines: Vec::new(), out };
            list.list(node, &mut Vec::new());
            list.flush();
        }
        "codeBlock" => out.push(code(node)),
        "rule" => out.push("----".to_owned()),
        "blockquote" if !inside.quote => {
            out.push(enclosed("{quote}", "{quote}", blocks(content, Inside { quote: true, ..inside })))
        }
        "panel" if !inside.panel => {
            let color = PANEL_COLORS
                .iter()
                .find(|(kind, _)| *kind == adf::attr(node, "panelType"))
                .unwrap_or(&PANEL_COLORS[0])
                .1;
            let content = blocks(content, Inside { panel: true, ..inside });
            out.push(enclosed(&format!("{{panel:bgColor={color}}}"), "{panel}", content));
        }
        "table" => {
            let rows: Vec<String> = content.iter().filter_map(row).collect();
            if !rows.is_empty() {
                out.push(rows.join("\n"));
            }
        }
        "expand" | "nestedExpand" => {
            out.extend(paragraph(&expand_title(node)));
            out.extend(blocks(content, inside));
        }
        _ if content.is_empty() => out.extend(paragraph(&leaf_line(node))),
        // Paragraphs, and all that we do not know, are what they contain.
        _ => out.extend(blocks(content, inside)),
    }
}

fn enclosed(begin: &str, end: &str, content: Vec<String>) -> String {
    format!("{begin}\n{}\n{end}", content.join("\n\n"))
}

fn paragraph(line: &[Inline]) -> Option<String> {
    Some(render(line, Place::Paragraph)).filter(|text| !text.trim().is_empty())
}

fn expand_title(node: &Value) -> Vec<Inline> {
    let mut strong = Marks::default();
    strong.styles.insert(Style::Strong);
    let mut line = Vec::new();
    push_lines(&mut line, adf::attr(node, "title"), &strong);
    line
}

/// A block without content, as a line.
fn leaf_line(node: &Value) -> Vec<Inline> {
    let mut line = Vec::new();
    match adf::kind(node) {
        "blockCard" | "embedCard" => push_card(&mut line, adf::card_url(node), true),
        "media" | "mediaInline" => push_image(&mut line, node),
        _ => push_lines(&mut line, &adf::inline_label(node), &Marks::default()),
    }
    line
}

/// `{noformat}` for code without a language, as Jira writes it. The end tag inside the code gets a backslash.
fn code(node: &Value) -> String {
    let language = Some(adf::attr(node, "language")).filter(|language| is_code_language(language));
    let name = if language.is_some() { "code" } else { "noformat" };
    let end = format!("{{{name}}}");
    let begin = language.map_or_else(|| end.clone(), |language| format!("{{code:{language}}}"));
    let body = code_text(node).replace(&end, &format!("\\{end}"));
    format!("{begin}\n{body}\n{end}")
}

fn code_text(node: &Value) -> String {
    let text: String = adf::content(node).iter().map(adf::text).collect();
    text.replace("\r\n", "\n").replace('\r', "\n")
}

struct ListLine {
    /// The markers of the lists around, outermost first.
    path: Vec<char>,
    line: Vec<Inline>,
}

/// Collects the lines of a list; what cannot stand in a list interrupts it.
struct ListWriter<'o> {
    inside: Inside,
    lines: Vec<ListLine>,
    out: &'o mut Vec<String>,
}

impl ListWriter<'_> {
    fn list(&mut self, node: &Value, path: &mut Vec<char>) {
        let pushed = path.len() < LIST_DEPTH_MAX;
        if pushed {
            path.push(if adf::kind(node) == "orderedList" { '#' } else { '*' });
        }
        for item in adf::content(node) {
            match is_list(item) {
                // A task list nests directly in a task list.
                true => self.list(item, path),
                false => self.item(item, path),
            }
        }
        if pushed {
            path.pop();
        }
    }

    fn item(&mut self, item: &Value, path: &mut Vec<char>) {
        let (mut line, mut content) = (Vec::new(), adf::content(item));
        if adf::kind(item) == "taskItem" {
            push_text(&mut line, if adf::attr(item, "state") == "DONE" { "[x] " } else { "[ ] " }, &Marks::default());
            let (text, rest) = content.split_at(content.iter().take_while(|node| adf::is_inline(node)).count());
            collect(text, &mut line);
            content = rest;
        }
        self.lines.push(ListLine { path: path.clone(), line });
        self.children(content, path);
    }

    fn children(&mut self, nodes: &[Value], path: &mut Vec<char>) {
        for (inline, nodes) in runs(nodes) {
            if inline {
                self.continue_item(line_of(nodes));
                continue;
            }
            for node in nodes {
                match adf::kind(node) {
                    _ if is_list(node) => self.list(node, path),
                    "paragraph" => self.continue_item(line_of(adf::content(node))),
                    _ => {
                        self.flush();
                        block(node, self.inside, self.out);
                    }
                }
            }
        }
    }

    /// A further paragraph of an item is a further line of it.
    fn continue_item(&mut self, line: Vec<Inline>) {
        match self.lines.last_mut() {
            Some(last) => join_lines(&mut last.line, line),
            None => self.out.extend(paragraph(&line)),
        }
    }

    fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.out.push(render_list(&std::mem::take(&mut self.lines), Place::Item));
        }
    }
}

fn is_list(node: &Value) -> bool {
    matches!(adf::kind(node), "bulletList" | "orderedList" | "taskList" | "decisionList")
}

/// Appends a line after a hard break, unless one of the two shows nothing.
fn join_lines(line: &mut Vec<Inline>, next: Vec<Inline>) {
    if is_blank(&next) {
        return;
    }
    if is_blank(line) {
        line.clear();
    } else {
        line.push(Inline::Break);
    }
    line.extend(next);
}

fn is_blank(line: &[Inline]) -> bool {
    line.iter().all(|inline| matches!(inline, Inline::Text { text, .. } if text.trim().is_empty()))
}

/// Drops white space at the ends, which a table cell cannot keep. Within marks it can.
fn trim(line: &mut Vec<Inline>) {
    let trimmed = |inline: Option<&mut Inline>, trim: fn(&str) -> &str| match inline {
        Some(Inline::Text { text, marks }) if *marks == Marks::default() => {
            *text = trim(text).to_owned();
            text.is_empty()
        }
        _ => false,
    };
    if trimmed(line.first_mut(), str::trim_start) {
        line.remove(0);
    }
    if trimmed(line.last_mut(), str::trim_end) {
        line.pop();
    }
}

/// Lists after an interruption begin again at the first level, as the reader would see them.
fn render_list(lines: &[ListLine], place: Place) -> String {
    let mut out = String::new();
    let mut open: Vec<char> = Vec::new();
    for ListLine { path, line } in lines {
        let common = iter::zip(path, &open).take_while(|(a, b)| a == b).count();
        if !out.is_empty() {
            out.push_str(if common == 0 && !place.is_in_cell() { "\n\n" } else { "\n" });
        }
        open.truncate(common);
        if common < path.len() {
            open.extend(path.last());
        }
        out.extend(&open);
        out.push(' ');
        out.push_str(render(line, place).trim_start());
    }
    out
}

fn row(node: &Value) -> Option<String> {
    let mut out = String::new();
    let mut bar = "";
    for cell in adf::content(node) {
        bar = if adf::kind(cell) == "tableHeader" { "||" } else { "|" };
        let mut writer = CellWriter::default();
        writer.children(adf::content(cell), &mut Vec::new());
        out.push_str(bar);
        out.push_str(&writer.finish());
    }
    out.push_str(bar);
    Some(out).filter(|out| !out.is_empty())
}

/// Collects a cell: a line, then list lines. Everything else is flattened to these.
#[derive(Default)]
struct CellWriter {
    intro: Vec<Inline>,
    lines: Vec<ListLine>,
}

impl CellWriter {
    fn children(&mut self, nodes: &[Value], path: &mut Vec<char>) {
        for (inline, nodes) in runs(nodes) {
            match inline {
                true => self.continue_line(line_of(nodes)),
                false => nodes.iter().for_each(|node| self.block(node, path)),
            }
        }
    }

    fn block(&mut self, node: &Value, path: &mut Vec<char>) {
        let content = adf::content(node);
        match adf::kind(node) {
            _ if is_list(node) => {
                let pushed = path.len() < LIST_DEPTH_MAX;
                if pushed {
                    path.push(if adf::kind(node) == "orderedList" { '#' } else { '*' });
                }
                for item in content {
                    if is_list(item) {
                        self.block(item, path);
                        continue;
                    }
                    self.lines.push(ListLine { path: path.clone(), line: Vec::new() });
                    self.children(adf::content(item), path);
                }
                if pushed {
                    path.pop();
                }
            }
            "codeBlock" => {
                let mut line = Vec::new();
                push_lines(&mut line, &code_text(node), &Marks { code: true, ..Marks::default() });
                self.continue_line(line);
            }
            "expand" | "nestedExpand" => {
                self.continue_line(expand_title(node));
                self.children(content, path);
            }
            _ if content.is_empty() => self.continue_line(leaf_line(node)),
            _ => self.children(content, path),
        }
    }

    fn continue_line(&mut self, line: Vec<Inline>) {
        join_lines(self.lines.last_mut().map_or(&mut self.intro, |last| &mut last.line), line);
    }

    /// A cell is never the empty string, because `||` begins a header.
    fn finish(mut self) -> String {
        // At the end of a cell an empty item would lose the space that makes it one.
        self.lines.retain(|line| !is_blank(&line.line));
        let mut parts = Vec::new();
        trim(&mut self.intro);
        if let Some(last) = self.lines.last_mut() {
            trim(&mut last.line);
        }
        if !is_blank(&self.intro) {
            parts.push(render(&self.intro, Place::Cell));
        }
        if !self.lines.is_empty() {
            parts.push(render_list(&self.lines, Place::CellItem));
        }
        if parts.is_empty() { " ".to_owned() } else { parts.join("\n") }
    }
}

/// Inline nodes as the reader knows them; other kinds become text.
fn line_of(nodes: &[Value]) -> Vec<Inline> {
    let mut line = Vec::new();
    collect(nodes, &mut line);
    line
}

fn collect(nodes: &[Value], line: &mut Vec<Inline>) {
    for node in nodes {
        match adf::kind(node) {
            "text" => push_lines(line, adf::text(node), &writable(Marks::of(node))),
            "hardBreak" => line.push(Inline::Break),
            "mention" if is_account_id(adf::attr(node, "id")) => {
                line.push(Inline::Mention { id: adf::attr(node, "id").to_owned() })
            }
            "inlineCard" => push_card(line, adf::card_url(node), false),
            "mediaInline" | "media" => push_image(line, node),
            _ => match adf::content(node) {
                [] => push_lines(line, &adf::inline_label(node), &Marks::default()),
                content => collect(content, line),
            },
        }
    }
}

/// Percent-encodes what cannot stand in a bracket, and drops the link that the reader would not take.
fn writable(mut marks: Marks) -> Marks {
    marks.link = marks.link.map(|href| encode_url(&href)).filter(|href| is_link_target(href));
    marks
}

fn encode_url(url: &str) -> String {
    let mut out = String::new();
    for c in url.chars() {
        match ends_url(c) {
            true => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}"))),
            false => out.push(c),
        }
    }
    out
}

fn push_card(line: &mut Vec<Inline>, url: &str, block: bool) {
    match encode_url(url) {
        encoded if is_link_target(&encoded) => line.push(Inline::Card { url: encoded, block }),
        _ => push_lines(line, url, &Marks::default()),
    }
}

/// Jira writes a picture as `!name!`; the name is in `alt`.
fn push_image(line: &mut Vec<Inline>, node: &Value) {
    if !adf::attr(node, "alt").is_empty() {
        push_lines(line, &format!("!{}!", adf::attr(node, "alt")), &Marks::default());
    }
}

/// Adds text; its line ends become hard breaks.
fn push_lines(line: &mut Vec<Inline>, text: &str, marks: &Marks) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, part) in text.split('\n').enumerate() {
        if index > 0 {
            line.push(Inline::Break);
        }
        push_text(line, part, marks);
    }
}

/// Turns addresses in plain text into links, because the reader will, and code in a link into text, if its bars and
/// brackets would end the link.
fn with_readable_links(line: &[Inline]) -> Vec<Inline> {
    let mut out = Vec::new();
    for inline in line {
        match inline {
            Inline::Text { text, marks } if marks.link.is_none() && !marks.code => {
                let mut done = 0;
                for (at, _) in text.match_indices("http") {
                    let after_word = text[..at].ends_with(char::is_alphanumeric);
                    if at < done || after_word {
                        continue;
                    }
                    let Some(url) = bare_url(&text[at..]) else { continue };
                    push_text(&mut out, &text[done..at], marks);
                    push_text(&mut out, url, &Marks { link: Some(url.to_owned()), ..marks.clone() });
                    done = at + url.len();
                }
                push_text(&mut out, &text[done..], marks);
            }
            Inline::Text { text, marks } => {
                let code = marks.code && (marks.link.is_none() || !text.contains(['|', '[', ']']));
                push_text(&mut out, text, &Marks { code, ..marks.clone() });
            }
            other => out.push(other.clone()),
        }
    }
    out
}

/// Where a line stands; decides what must be escaped and how it breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Paragraph,
    /// After a list marker: the first line cannot begin a block, the others can.
    Item,
    Heading,
    Cell,
    CellItem,
    /// The text of a link.
    Label,
}

impl Place {
    fn breaks_by_newline(self) -> bool {
        matches!(self, Place::Paragraph | Place::Item)
    }

    fn is_in_cell(self) -> bool {
        matches!(self, Place::Cell | Place::CellItem)
    }
}

fn render(line: &[Inline], place: Place) -> String {
    let line = with_readable_links(line);
    let text = print(&tokens(&atoms(&line, place), place));
    let skip_first = match place {
        Place::Paragraph | Place::Cell => 0,
        Place::Item => 1,
        Place::Heading | Place::CellItem | Place::Label => return text,
    };
    let lines: Vec<String> = text
        .split('\n')
        .enumerate()
        .map(|(index, line)| if index < skip_first { line.to_owned() } else { not_a_block(line) })
        .collect();
    lines.join("\n")
}

/// Escapes what would make the line something else than a line of a paragraph. Only text can begin so: marks, links and
/// code cannot.
fn not_a_block(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let at = match line_start(line) {
        None => return line.to_owned(),
        Some(LineStart::Heading { .. } | LineStart::Quote { .. }) => indent + 2,
        Some(LineStart::Rule | LineStart::Row | LineStart::Item { .. }) => indent,
    };
    format!("{}\\{}", &line[..at], &line[at..])
}

/// A piece of a line and the marks around it.
struct Atom<'a> {
    styles: Styles,
    color: Option<&'a str>,
    body: Body<'a>,
}

enum Body<'a> {
    Text(&'a str),
    Break,
    /// An address that may stand as it is, if what follows lets it.
    Url(&'a str),
    /// A link or code.
    Printed(String),
    /// A mention or card, which has no marks of its own.
    Unmarked(String),
}

fn atoms<'a>(line: &'a [Inline], place: Place) -> Vec<Atom<'a>> {
    let mut atoms: Vec<Atom<'a>> = Vec::new();
    let is_alone = line.len() == 1 && matches!(place, Place::Paragraph | Place::Cell);
    for group in line.chunk_by(|a, b| link_of(a).is_some() && link_of(a) == link_of(b)) {
        if let Some(href) = link_of(&group[0]) {
            atoms.push(link_atom(group, href));
            continue;
        }
        for inline in group {
            let (styles, color) = match inline {
                Inline::Text { marks, .. } => (marks.styles, marks.color.as_deref()),
                Inline::Break | Inline::Mention { .. } | Inline::Card { .. } => (Styles::default(), None),
            };
            let body = match inline {
                Inline::Text { text, marks } if marks.code => Body::Printed(code_span(text)),
                Inline::Text { text, .. } => Body::Text(text),
                Inline::Break => Body::Break,
                Inline::Mention { id } => Body::Unmarked(format!("[~accountid:{id}]")),
                Inline::Card { url, block } => {
                    let kind = if is_alone && *block { "smart-card" } else { "smart-link" };
                    Body::Unmarked(format!("[{url}|{url}|{kind}]"))
                }
            };
            atoms.push(Atom { styles, color, body });
        }
    }
    span_unmarked(&mut atoms);
    atoms
}

/// Marks do not apply to mentions and cards, but need not end for them either.
fn span_unmarked(atoms: &mut [Atom<'_>]) {
    for index in 1..atoms.len().saturating_sub(1) {
        if matches!(atoms[index].body, Body::Unmarked(_)) {
            let (before, after) = (&atoms[index - 1], &atoms[index + 1]);
            let (styles, color) =
                (before.styles.and(after.styles), before.color.filter(|color| after.color == Some(color)));
            (atoms[index].styles, atoms[index].color) = (styles, color);
        }
    }
}

fn link_of(inline: &Inline) -> Option<&str> {
    match inline {
        Inline::Text { marks, .. } => marks.link.as_deref(),
        Inline::Break | Inline::Mention { .. } | Inline::Card { .. } => None,
    }
}

/// A link: the marks that its whole text has stand around it, the others inside.
fn link_atom<'a>(group: &'a [Inline], href: &'a str) -> Atom<'a> {
    let all_marks =
        || group.iter().filter_map(|inline| if let Inline::Text { marks, .. } = inline { Some(marks) } else { None });
    let styles = all_marks().map(|marks| marks.styles).reduce(Styles::and).unwrap_or_default();
    let color = all_marks().map(|marks| marks.color.as_deref()).reduce(|a, b| a.filter(|_| a == b)).flatten();
    if let [Inline::Text { text, marks }] = group
        && text == href
        && !marks.code
        && is_lone_link_target(href)
    {
        return Atom { styles, color, body: Body::Url(href) };
    }
    let label: Vec<Inline> = group
        .iter()
        .map(|inline| match inline {
            Inline::Text { text, marks } => {
                let color = marks.color.clone().filter(|_| color.is_none());
                Inline::Text {
                    text: text.clone(),
                    marks: Marks { styles: marks.styles.without(styles), color, link: None, code: marks.code },
                }
            }
            other => other.clone(),
        })
        .collect();
    let label = print(&tokens(&atoms(&label, Place::Label), Place::Label));
    Atom { styles, color, body: Body::Printed(format!("[{label}|{href}]")) }
}

fn code_span(code: &str) -> String {
    format!("{{{{{}}}}}", code.replace('{', "\\{").replace('}', "\\}"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark<'a> {
    Style(Style),
    Color(&'a str),
}

enum Token<'a> {
    Printed(String),
    Url(&'a str),
    Begin(Mark<'a>),
    /// Ends the mark that began at that token.
    End(Mark<'a>, usize),
}

/// Lays out text and marks so that marks nest.
fn tokens<'a>(atoms: &[Atom<'a>], place: Place) -> Vec<Token<'a>> {
    let ends = mark_ends(atoms);
    let mut tokens = Vec::new();
    let mut open: Vec<(Mark<'a>, usize)> = Vec::new();
    let mut line_is_blank = true;
    for (index, atom) in atoms.iter().enumerate() {
        let keep = open.iter().take_while(|(mark, _)| atom.has(*mark)).count();
        while open.len() > keep {
            if let Some((mark, begin)) = open.pop() {
                tokens.push(Token::End(mark, begin));
            }
        }
        let mut begins: Vec<(usize, Mark<'a>)> =
            atom.marks().zip(ends[index]).filter_map(|(mark, end)| Some((end, mark?))).collect();
        begins.retain(|(_, mark)| !open.iter().any(|(opened, _)| opened == mark));
        // The mark that lasts longest goes outside. The sort is stable, so equals keep their order.
        begins.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        for (_, mark) in begins {
            open.push((mark, tokens.len()));
            tokens.push(Token::Begin(mark));
        }
        match &atom.body {
            Body::Text(text) => {
                let before = atom.neighbour(index.checked_sub(1).and_then(|before| atoms.get(before)));
                let after = match atoms.get(index + 1) {
                    Some(Atom { body: Body::Break, .. }) if !ends_by_newline(&atoms[index + 1..], place) => {
                        Neighbour::Markup
                    }
                    beside => atom.neighbour(beside),
                };
                line_is_blank &= text.trim().is_empty();
                tokens.push(Token::Printed(escape(text, atom.styles, before, after, place)));
            }
            Body::Break => {
                let as_newline = !line_is_blank && ends_by_newline(&atoms[index..], place);
                line_is_blank = as_newline;
                tokens.push(Token::Printed(if as_newline { "\n" } else { "\\\\" }.to_owned()));
            }
            Body::Url(url) => {
                line_is_blank = false;
                tokens.push(Token::Url(url));
            }
            Body::Printed(text) | Body::Unmarked(text) => {
                line_is_blank = false;
                tokens.push(Token::Printed(text.clone()));
            }
        }
    }
    while let Some((mark, begin)) = open.pop() {
        tokens.push(Token::End(mark, begin));
    }
    tokens
}

/// Whether the break at the beginning of these atoms may be a line end, if something stands before it: an empty line
/// would end the paragraph.
fn ends_by_newline(atoms: &[Atom<'_>], place: Place) -> bool {
    let mut next_line = atoms[1..].iter().take_while(|atom| !matches!(atom.body, Body::Break));
    place.breaks_by_newline() && next_line.any(|atom| !matches!(atom.body, Body::Text(text) if text.trim().is_empty()))
}

const MARKS: usize = 1 + Style::ALL.len();

impl<'a> Atom<'a> {
    /// Colour first, then the styles in their order; `None` for a mark that the atom has not.
    fn marks(&self) -> impl Iterator<Item = Option<Mark<'a>>> {
        let styles = self.styles;
        iter::once(self.color.map(Mark::Color))
            .chain(Style::ALL.into_iter().map(move |style| styles.contains(style).then_some(Mark::Style(style))))
    }

    /// What stands between this atom and the one beside it.
    fn neighbour(&self, beside: Option<&Atom<'_>>) -> Neighbour {
        match beside {
            _ if self.marks().any(|mark| mark.is_some()) => Neighbour::Markup,
            None | Some(Atom { body: Body::Break, .. }) => Neighbour::Nothing,
            Some(_) => Neighbour::Markup,
        }
    }

    fn has(&self, mark: Mark<'_>) -> bool {
        match mark {
            Mark::Style(style) => self.styles.contains(style),
            Mark::Color(color) => self.color == Some(color),
        }
    }
}

/// For each atom and mark, the index of the last atom that the mark goes on to.
fn mark_ends(atoms: &[Atom<'_>]) -> Vec<[usize; MARKS]> {
    let mut ends = vec![[0; MARKS]; atoms.len()];
    for index in (0..atoms.len()).rev() {
        for (slot, mark) in atoms[index].marks().enumerate() {
            let goes_on = mark.is_some_and(|mark| atoms.get(index + 1).is_some_and(|next| next.has(mark)));
            ends[index][slot] = if goes_on { ends[index + 1][slot] } else { index };
        }
    }
    ends
}

/// What stands beside a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    /// The end of the line.
    Nothing,
    /// A mark, link or code, of which we assume the worst.
    Markup,
    Char(char),
}

/// Escapes exactly what the reader would take for markup here.
fn escape(text: &str, active: Styles, before: Neighbour, after: Neighbour, place: Place) -> String {
    let mut out = String::new();
    let mut previous = before;
    for (index, c) in text.char_indices() {
        let rest = &text[index + c.len_utf8()..];
        let next = rest.chars().next().map_or(after, Neighbour::Char);
        match c {
            '\\' if !matches!(next, Neighbour::Char(next) if next.is_alphanumeric()) => out.push_str("&#92;"),
            '&' if next == Neighbour::Char('#') => out.push_str("&#38;"),
            '{' | '[' => out.extend(['\\', c]),
            // After code the brace would move the code's end.
            '}' if previous == Neighbour::Markup => out.push_str("\\}"),
            // After the `*` of bold this would be a list marker.
            '#' if previous == Neighbour::Markup && active.contains(Style::Strong) => out.push_str("\\#"),
            // Not yet an address, but what follows might complete it.
            '/' if after == Neighbour::Markup && begins_url(&text[..=index]) && rest.chars().all(trails_url) => {
                out.push_str("&#47;")
            }
            '|' if place.is_in_cell() => out.push_str("\\|"),
            '|' | ']' if place == Place::Label => out.extend(['\\', c]),
            _ => {
                if Style::of_delimiter(c).is_some_and(|style| is_taken(c, active.contains(style), previous, next)) {
                    out.push('\\');
                }
                out.push(c);
            }
        }
        previous = Neighbour::Char(c);
    }
    out
}

fn begins_url(text: &str) -> bool {
    text.ends_with("http://") || text.ends_with("https://")
}

/// Whether the reader would begin or, within the mark, end one here. Beside markup, `,` stands for what lets either
/// happen.
fn is_taken(delimiter: char, active: bool, before: Neighbour, after: Neighbour) -> bool {
    let as_char = |neighbour| match neighbour {
        Neighbour::Nothing => None,
        Neighbour::Markup => Some(','),
        Neighbour::Char(c) => Some(c),
    };
    match active {
        true => can_close(delimiter, as_char(before), as_char(after)),
        false => can_open(delimiter, as_char(before), as_char(after)),
    }
}

/// Prints from the last token to the first: whether an address may stand without brackets depends on what follows.
fn print(tokens: &[Token<'_>]) -> String {
    let plain = plain_marks(tokens);
    let mut printed: Vec<String> = Vec::new();
    for (index, token) in tokens.iter().enumerate().rev() {
        printed.push(match token {
            Token::Printed(text) => text.clone(),
            Token::Url(url) => {
                let mut rest = printed.iter().rev().flat_map(|text| text.chars()).take_while(|c| !ends_url(*c));
                let after_word = index > 0 && last_char(tokens, index - 1).is_some_and(char::is_alphanumeric);
                match !after_word && bare_url(url) == Some(url) && rest.all(trails_url) {
                    true => (*url).to_owned(),
                    false => format!("[{url}]"),
                }
            }
            Token::Begin(Mark::Color(color)) => format!("{{color:{color}}}"),
            Token::End(Mark::Color(_), _) => "{color}".to_owned(),
            Token::Begin(Mark::Style(style)) => delimiter(*style, plain[index]),
            Token::End(Mark::Style(style), begin) => delimiter(*style, plain[*begin]),
        });
    }
    printed.reverse();
    printed.concat()
}

/// `{*}` is how Jira writes a mark that begins or ends inside a word.
fn delimiter(style: Style, plain: bool) -> String {
    match style.delimiter() {
        c if plain => c.to_string(),
        c => format!("{{{c}}}"),
    }
}

/// For each token that begins a mark, whether the bare character does at both ends.
fn plain_marks(tokens: &[Token<'_>]) -> Vec<bool> {
    let mut plain = vec![true; tokens.len()];
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| last_char(tokens, before));
        let after = first_char(tokens, index + 1);
        match token {
            Token::Begin(Mark::Style(style)) => plain[index] &= can_open(style.delimiter(), before, after),
            Token::End(Mark::Style(style), begin) => plain[*begin] &= can_close(style.delimiter(), before, after),
            Token::Begin(Mark::Color(_)) | Token::End(Mark::Color(_), _) | Token::Printed(_) | Token::Url(_) => {}
        }
    }
    plain
}

/// How a token begins, as far as neighbours care: a mark is `*` or `{*}`, an address may get brackets or not, for which
/// we assume the worse.
fn first_char(tokens: &[Token<'_>], index: usize) -> Option<char> {
    match tokens.get(index)? {
        Token::Printed(text) => text.chars().next(),
        Token::Url(_) => Some('h'),
        Token::Begin(_) | Token::End(..) => Some('{'),
    }
}

fn last_char(tokens: &[Token<'_>], index: usize) -> Option<char> {
    match tokens.get(index)? {
        Token::Printed(text) => text.chars().next_back(),
        Token::Url(_) => Some('x'),
        Token::Begin(_) | Token::End(..) => Some('}'),
    }
}
