use std::borrow::Cow;
use std::fmt;

use super::lexer;

/// A whole query: a filter, an order, both or neither.
///
/// Source: <https://support.atlassian.com/jira-software-cloud/docs/what-is-advanced-search-in-jira-cloud/>.
///
/// `Display` prints canonical JQL: upper-case keywords, quotes only where they are needed, parentheses only where they
/// change the meaning. What it prints parses back to an equal query except for positions. Neither text nor tree has
/// said anything yet about which fields, values and functions exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What issues must satisfy; `None` means all of them (Jira's search then answers 400 "unbounded").
    pub filter: Option<Clause>,
    /// Empty when the text has no `ORDER BY`.
    pub order_by: Vec<Order>,
}

/// A condition on issues. Source: `jqlOrClause` to `jqlTerminalClause` of Atlassian's published grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Two or more clauses that all hold. Parentheses of the text are kept as nesting.
    And(Vec<Clause>),
    /// Two or more clauses of which one holds. Binds weaker than `AND`.
    Or(Vec<Clause>),
    /// `NOT clause` or `! clause`.
    Not(Box<Clause>),
    /// One comparison.
    Terminal(Terminal),
    /// Bare words, joined by single spaces: search all text fields. Only [`super::parse`] makes it, only as the whole
    /// filter.
    ///
    /// Nested in a tree built by hand it prints as `text ~ "..."`, which is the same search but another clause.
    TextSearch(String),
}

/// One comparison: `field operator operand`, with history predicates after `WAS` and `CHANGED`. Source:
/// `jqlTerminalClause` of the published grammar.
///
/// Any operator may meet any operand here (`status in Done`, `summary = (a, b)`), as on Jira's server, which refuses by
/// field later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    pub field: Field,
    pub operator: Operator,
    pub operand: Operand,
    /// `AFTER`, `BY`, ...: non-empty only for the history operators (see [`Operator::is_history`]).
    pub predicates: Vec<Predicate>,
    /// Where the field begins.
    pub position: Position,
}

/// What is compared or sorted by. Source: `jqlField` of the published grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A name as typed, never blank: `status`, `"Story points"`, `customfield_10010`. Case does not matter to Jira.
    Named(String),
    /// `cf[10010]`. At most `i64::MAX`, as Jira's ids.
    CustomId(u64),
    /// An entity property, `issue.property[key].path`: `owner` is `issue.property`, `path` comes without its first dot.
    Property { owner: String, key: String, path: Option<String> },
}

/// Source: the operator reference, <https://support.atlassian.com/jira-software-cloud/docs/jql-operators/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Equals,
    NotEquals,
    Like,
    NotLike,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Is,
    IsNot,
    Was,
    WasNot,
    WasIn,
    WasNotIn,
    Changed,
}

impl Operator {
    /// The operator as it is written: `=`, `NOT IN`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::NotEquals => "!=",
            Self::Like => "~",
            Self::NotLike => "!~",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::Is => "IS",
            Self::IsNot => "IS NOT",
            Self::Was => "WAS",
            Self::WasNot => "WAS NOT",
            Self::WasIn => "WAS IN",
            Self::WasNotIn => "WAS NOT IN",
            Self::Changed => "CHANGED",
        }
    }

    /// The name Jira's messages use: `EQUALS`, `NOT_IN` (constants of its public Java API,
    /// `com.atlassian.query.operator.Operator`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Equals => "EQUALS",
            Self::NotEquals => "NOT_EQUALS",
            Self::Like => "LIKE",
            Self::NotLike => "NOT_LIKE",
            Self::Less => "LESS_THAN",
            Self::LessOrEqual => "LESS_THAN_EQUALS",
            Self::Greater => "GREATER_THAN",
            Self::GreaterOrEqual => "GREATER_THAN_EQUALS",
            Self::In => "IN",
            Self::NotIn => "NOT_IN",
            Self::Is => "IS",
            Self::IsNot => "IS_NOT",
            Self::Was => "WAS",
            Self::WasNot => "WAS_NOT",
            Self::WasIn => "WAS_IN",
            Self::WasNotIn => "WAS_NOT_IN",
            Self::Changed => "CHANGED",
        }
    }

    /// Whether the operator asks about the past, and so may carry predicates.
    pub fn is_history(self) -> bool {
        match self {
            Self::Was | Self::WasNot | Self::WasIn | Self::WasNotIn | Self::Changed => true,
            Self::Equals
            | Self::NotEquals
            | Self::Like
            | Self::NotLike
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual
            | Self::In
            | Self::NotIn
            | Self::Is
            | Self::IsNot => false,
        }
    }
}

/// The right side of a comparison. Source: `jqlOperand` of the published grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// One value or function; never [`Value::Empty`], for which there is [`Operand::Empty`].
    Single(Value),
    /// One or more values in parentheses. Lists in lists are flattened: Jira gives their nesting no meaning.
    List(Vec<Value>),
    /// `EMPTY` or `NULL`.
    Empty,
    /// No operand at all: after `CHANGED`, and only there.
    Absent,
}

/// One value. Source: `jqlValue`, `jqlFunction`, `jqlEmpty` of the published grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A bare or quoted word: `Done`, `"In Progress"`, `-1d`, `"5"`, `1.5`.
    Text(String),
    /// Unquoted digits with an optional minus. Jira reads them as a number too, so `007` is `7`.
    Number(i64),
    /// `name(argument, ...)`; arguments are always text to Jira.
    Function { name: String, args: Vec<String> },
    /// `EMPTY` within a list.
    Empty,
}

/// A condition on a change: `AFTER "2026-01-01"`. Source:
/// <https://support.atlassian.com/jira-software-cloud/docs/jql-operators/>, under `WAS` and `CHANGED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    pub kind: PredicateKind,
    pub operand: Operand,
    pub position: Position,
}

/// Source: as [`Predicate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredicateKind {
    After,
    Before,
    By,
    During,
    From,
    On,
    To,
}

impl PredicateKind {
    /// The predicate as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::After => "AFTER",
            Self::Before => "BEFORE",
            Self::By => "BY",
            Self::During => "DURING",
            Self::From => "FROM",
            Self::On => "ON",
            Self::To => "TO",
        }
    }
}

/// One field of `ORDER BY`. Source: `jqlSearchSort` of the published grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub field: Field,
    /// `None` when not written. The default belongs to the field: in Jira dates and priority then start with the latest
    /// and highest.
    pub direction: Option<Direction>,
    /// Where the field begins.
    pub position: Position,
}

/// Source: as [`Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Ascending,
    Descending,
}

/// Where something begins, as Jira's messages count: both from 1, characters in UTF-16 units. Source: `(line 1,
/// character 9)` in every parse message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub line: u32,
    pub character: u32,
}

/// Writes `text` so that it reads back as exactly this text value, with quotes only where they are needed.
///
/// Source: "Reserved characters" and "Reserved words" of
/// <https://support.atlassian.com/jira-software-cloud/docs/what-is-advanced-search-in-jira-cloud/>.
pub fn quote_value(text: &str) -> Cow<'_, str> {
    if lexer::is_bare_text(text) { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(line {}, character {})", self.line, self.character)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.filter {
            // Always in quotes, so that no word of the search is taken for a keyword when it is read again.
            Some(Clause::TextSearch(text)) => f.write_str(&quoted(text))?,
            Some(clause) => clause.fmt(f)?,
            None => {}
        }
        if self.order_by.is_empty() {
            return Ok(());
        }
        f.write_str(if self.filter.is_some() { " ORDER BY " } else { "ORDER BY " })?;
        join(f, ", ", &self.order_by)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(clauses) => join(
                f,
                " AND ",
                &clauses.iter().map(|clause| Grouped { clause, within: Group::And }).collect::<Vec<_>>(),
            ),
            Self::Or(clauses) => {
                join(f, " OR ", &clauses.iter().map(|clause| Grouped { clause, within: Group::Or }).collect::<Vec<_>>())
            }
            Self::Not(clause) => write!(f, "NOT {}", Grouped { clause, within: Group::Not }),
            Self::Terminal(terminal) => terminal.fmt(f),
            Self::TextSearch(text) => write!(f, "text ~ {}", quoted(text)),
        }
    }
}

impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.operator.symbol())?;
        if self.operand != Operand::Absent {
            write!(f, " {}", self.operand)?;
        }
        for predicate in &self.predicates {
            write!(f, " {} {}", predicate.kind.symbol(), predicate.operand)?;
        }
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(&quote_value(name)),
            Self::CustomId(id) => write!(f, "cf[{id}]"),
            Self::Property { owner, key, path } => {
                write!(f, "{}[{}]", quote_value(owner), quote_value(key))?;
                // The path is a word that begins with a dot; quotes would make it something else.
                path.iter().try_for_each(|path| write!(f, ".{}", escaped(path)))
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(value) => value.fmt(f),
            Self::List(values) => {
                f.write_str("(")?;
                join(f, ", ", values)?;
                f.write_str(")")
            }
            Self::Empty => f.write_str("EMPTY"),
            Self::Absent => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quote_value(text)),
            Self::Number(number) => number.fmt(f),
            Self::Function { name, args } => {
                write!(f, "{}(", quote_value(name))?;
                join(f, ", ", &args.iter().map(|arg| quote_value(arg)).collect::<Vec<_>>())?;
                f.write_str(")")
            }
            Self::Empty => f.write_str("EMPTY"),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.field.fmt(f)?;
        match self.direction {
            Some(Direction::Ascending) => f.write_str(" ASC"),
            Some(Direction::Descending) => f.write_str(" DESC"),
            None => Ok(()),
        }
    }
}

/// A clause inside another, in parentheses where the outer one would otherwise take it apart.
struct Grouped<'a> {
    clause: &'a Clause,
    within: Group,
}

#[derive(Clone, Copy)]
enum Group {
    And,
    Or,
    Not,
}

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parentheses = match (self.within, self.clause) {
            (Group::Or, Clause::And(_)) => false,
            (_, Clause::And(_) | Clause::Or(_)) => true,
            (_, Clause::Not(_) | Clause::Terminal(_) | Clause::TextSearch(_)) => false,
        };
        if parentheses { write!(f, "({})", self.clause) } else { self.clause.fmt(f) }
    }
}

fn join(f: &mut fmt::Formatter<'_>, separator: &str, items: &[impl fmt::Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if lexer::is_illegal_in_quotes(c) || c == '\n' || c == '\r' => push_escape(&mut out, c),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

fn escaped(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if c != '\\' && lexer::is_word_character(c) { out.push(c) } else { push_escape(&mut out, c) }
    }
    out
}

fn push_escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' ' | '\'' | '"' | '\\' => out.extend(['\\', c]),
        _ => out.push_str(&lexer::unicode_escape(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_only_where_they_are_needed() {
        for (text, expected) in [
            ("Done", "Done"),
            ("ABC-12", "ABC-12"),
            ("-1d", "-1d"),
            ("1.5", "1.5"),
            ("Ünïcödé", "Ünïcödé"),
            ("this", "this"),
            ("", r#""""#),
            ("In Progress", r#""In Progress""#),
            ("5", r#""5""#),
            ("-5", r#""-5""#),
            ("Order", r#""Order""#),
            ("SELECT", r#""SELECT""#),
            ("null", r#""null""#),
            ("me@example.com", r#""me@example.com""#),
            (r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#),
            ("it's", r#""it's""#),
            ("a\nb\tc\u{7f}", r#""a\nb\tc\u007f""#),
        ] {
            assert_eq!(quote_value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn clauses_print_in_canonical_form() {
        for (text, expected) in [
            ("a=b and c!=d&&e~f", "a = b AND c != d AND e ~ f"),
            ("a=1|b=2||not(c=3 & d=4)", "a = 1 OR b = 2 OR NOT (c = 3 AND d = 4)"),
            ("(a=1 or b=2) and ((c=3))", "(a = 1 OR b = 2) AND c = 3"),
            ("(a=1 and b=2) or c=3", "a = 1 AND b = 2 OR c = 3"),
            ("(a=1 and b=2) and c=3", "(a = 1 AND b = 2) AND c = 3"),
            ("!!a is null", "NOT NOT a IS EMPTY"),
            ("'in' not in ('x y', 5, EMPTY, f ( 1 , \"b c\" ))", r#""in" NOT IN ("x y", 5, EMPTY, f("1", "b c"))"#),
            ("cf [ 10010 ] >= -5 ORDER by cf[1] desc,KEY", "cf[10010] >= -5 ORDER BY cf[1] DESC, KEY"),
            ("issue.property[\"spaces here\"].va\\ lue <= 2", r#"issue.property["spaces here"].va\ lue <= 2"#),
            ("s was not in (a,b) by me after -1d", "s WAS NOT IN (a, b) BY me AFTER -1d"),
            ("s changed during (a,b) from x to y", "s CHANGED DURING (a, b) FROM x TO y"),
            ("order by a asc", "ORDER BY a ASC"),
            ("crash   login", r#""crash login""#),
            ("", ""),
        ] {
            assert_eq!(crate::jql::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_search_inside_a_tree_prints_as_a_clause() {
        let tree = Clause::Not(Box::new(Clause::TextSearch("a b".to_owned())));
        assert_eq!(tree.to_string(), r#"NOT text ~ "a b""#);
    }
}
