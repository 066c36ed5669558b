use std::borrow::Cow;

use super::TEXT_BYTES_MAX;
use super::ast::Position;
use super::error::ParseError;

/// Takes a text apart into tokens; the last one is always [`TokenKind::End`].
///
/// The whole text is read before any of it is understood, so that a reserved character near the end is reported before
/// a missing operator near the start, as Jira's server does (`mine{www = qwwr` answers for `{`).
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ParseError::TextTooLong);
    }
    let mut lexer = Lexer { text, at: 0, position: Position { line: 1, character: 1 } };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        let end = token.kind == TokenKind::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

/// A token and its text: without quotes and escapes for words and strings, as written for all others.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: Cow<'a, str>,
    pub(super) position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A word without quotes that is no number, keyword or reserved word.
    Word,
    Quoted,
    /// Digits with an optional minus, of any length.
    Number,
    Keyword(Keyword),
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Bang,
    Equals,
    NotEquals,
    Like,
    NotLike,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    End,
}

/// Words that are tokens of their own. `&` and `|` are [`Keyword::And`] and [`Keyword::Or`] too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    After,
    And,
    Asc,
    Before,
    By,
    CustomField,
    Changed,
    Desc,
    During,
    Empty,
    From,
    In,
    Is,
    Not,
    On,
    Or,
    Order,
    To,
    Was,
}

/// Words with a meaning in JQL, which therefore need quotes as a value. With [`RESERVED_WORDS`] they are what Jira
/// lists as `jqlReservedWords`.
///
/// Source: the tokens of `@atlaskit/jql-parser`.
pub const KEYWORDS: &[&str] = &[
    "after", "and", "asc", "before", "by", "cf", "changed", "desc", "during", "empty", "from", "in", "is", "not",
    "null", "on", "or", "order", "to", "was",
];

/// Words without a meaning in JQL that Jira keeps for itself all the same, sorted.
///
/// Source: what `@atlaskit/jql-parser` lexes as reserved; the same words that Jira's server refuses in a public
/// functional test. The longer list in Atlassian's help also has the stop words of text search (`a`, `the`, `this`,
/// `it`, ...), which the parser accepts.
#[rustfmt::skip]
pub const RESERVED_WORDS: &[&str] = &[
    "abort", "access", "add", "alias", "all", "alter", "any", "as", "audit", "avg", "begin", "between", "boolean", "break", "byte", "catch", "char",
    "character", "check", "checkpoint", "collate", "collation", "column", "commit", "connect", "continue", "count", "create", "current", "date", "decimal",
    "declare", "decrement", "default", "defaults", "define", "delete", "delimiter", "difference", "distinct", "divide", "do", "double", "drop", "else",
    "encoding", "end", "equals", "escape", "exclusive", "exec", "execute", "exists", "explain", "false", "fetch", "field", "file", "first", "float", "for",
    "function", "go", "goto", "grant", "greater", "group", "having", "identified", "if", "immediate", "increment", "index", "initial", "inner", "inout",
    "input", "insert", "int", "integer", "intersect", "intersection", "into", "isempty", "isnull", "join", "last", "left", "less", "like", "limit", "lock",
    "long", "max", "min", "minus", "mode", "modify", "modulo", "more", "multiply", "next", "noaudit", "notin", "nowait", "number", "object", "of", "option",
    "outer", "output", "power", "previous", "prior", "privileges", "public", "raise", "raw", "remainder", "rename", "resource", "return", "returns", "revoke",
    "right", "row", "rowid", "rownum", "rows", "select", "session", "set", "share", "size", "sqrt", "start", "strict", "string", "subtract", "sum", "synonym",
    "table", "then", "trans", "transaction", "trigger", "true", "uid", "union", "unique", "update", "user", "validate", "values", "view", "when", "whenever",
    "where", "while", "with",
];

/// Whether `text` written without quotes reads back as a text value.
pub(super) fn is_bare_text(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c != '\\' && is_word_character(c))
        && word_kind(text) == Some(TokenKind::Word)
}

/// Whether a word without quotes may contain `c` (a backslash begins an escape). Source: `@atlaskit/jql-parser`, which
/// also takes U+00A0 and its like.
pub(super) fn is_word_character(c: char) -> bool {
    !matches!(c, '"' | '\'' | '=' | '!' | '<' | '>' | '(' | ')' | '~' | ',' | '[' | ']' | '|' | '&')
        && !is_space(c)
        && !is_reserved(c)
        && !is_control(c)
}

/// Whether a quoted string must escape `c`. A tab must be escaped, a line break need not. Source: public parity tests
/// of Atlassian's editor with its server.
pub(super) fn is_illegal_in_quotes(c: char) -> bool {
    c == '\t' || is_control(c)
}

/// The escape Jira's messages propose: `\u007b`. All characters that need one are in the basic plane.
pub(super) fn unicode_escape(c: char) -> String {
    format!("\\u{:04x}", u32::from(c))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_reserved(c: char) -> bool {
    matches!(c, '{' | '}' | '*' | '/' | '%' | '+' | '^' | '$' | '#' | '@' | '?' | ';')
}

fn is_control(c: char) -> bool {
    !is_space(c)
        && matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}')
}

/// What a word without quotes and escapes is; `None` if it is reserved.
fn word_kind(word: &str) -> Option<TokenKind> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(TokenKind::Number);
    }
    if let Some(keyword) = keyword(word) {
        return Some(TokenKind::Keyword(keyword));
    }
    let reserved =
        RESERVED_WORDS.binary_search_by(|reserved| reserved.bytes().cmp(word.bytes().map(|b| b.to_ascii_lowercase())));
    reserved.is_err().then_some(TokenKind::Word)
}

fn keyword(word: &str) -> Option<Keyword> {
    const LONGEST: usize = "changed".len();
    if word.len() > LONGEST {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "after" => Keyword::After,
        "and" => Keyword::And,
        "asc" => Keyword::Asc,
        "before" => Keyword::Before,
        "by" => Keyword::By,
        "cf" => Keyword::CustomField,
        "changed" => Keyword::Changed,
        "desc" => Keyword::Desc,
        "during" => Keyword::During,
        "empty" | "null" => Keyword::Empty,
        "from" => Keyword::From,
        "in" => Keyword::In,
        "is" => Keyword::Is,
        "not" => Keyword::Not,
        "on" => Keyword::On,
        "or" => Keyword::Or,
        "order" => Keyword::Order,
        "to" => Keyword::To,
        "was" => Keyword::Was,
        _ => return None,
    })
}

struct Lexer<'a> {
    text: &'a str,
    /// Byte offset of the next character, which stands at `position`.
    at: usize,
    position: Position,
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Token<'a>, ParseError> {
        while self.peek().is_some_and(is_space) {
            self.bump();
        }
        let (start, position) = (self.at, self.position);
        let Some(c) = self.peek() else {
            return Ok(Token { kind: TokenKind::End, text: Cow::Borrowed(""), position });
        };
        let kind = match c {
            '"' | '\'' => return self.quoted(c),
            '(' => self.symbol(TokenKind::Open),
            ')' => self.symbol(TokenKind::Close),
            '[' => self.symbol(TokenKind::OpenBracket),
            ']' => self.symbol(TokenKind::CloseBracket),
            ',' => self.symbol(TokenKind::Comma),
            '=' => self.symbol(TokenKind::Equals),
            '~' => self.symbol(TokenKind::Like),
            '!' => self.symbol_or(TokenKind::Bang, &[('=', TokenKind::NotEquals), ('~', TokenKind::NotLike)]),
            '<' => self.symbol_or(TokenKind::Less, &[('=', TokenKind::LessOrEqual)]),
            '>' => self.symbol_or(TokenKind::Greater, &[('=', TokenKind::GreaterOrEqual)]),
            '&' => self.symbol_or(TokenKind::Keyword(Keyword::And), &[('&', TokenKind::Keyword(Keyword::And))]),
            '|' => self.symbol_or(TokenKind::Keyword(Keyword::Or), &[('|', TokenKind::Keyword(Keyword::Or))]),
            _ if is_reserved(c) => return Err(ParseError::ReservedCharacter { character: c, position }),
            _ if is_control(c) => return Err(ParseError::IllegalCharacter { character: c, position }),
            _ => return self.word(),
        };
        Ok(Token { kind, text: Cow::Borrowed(&self.text[start..self.at]), position })
    }

    fn symbol(&mut self, kind: TokenKind) -> TokenKind {
        self.bump();
        kind
    }

    fn symbol_or(&mut self, alone: TokenKind, followed_by: &[(char, TokenKind)]) -> TokenKind {
        self.bump();
        match followed_by.iter().find(|(second, _)| self.peek() == Some(*second)) {
            Some((_, kind)) => self.symbol(*kind),
            None => alone,
        }
    }

    fn word(&mut self) -> Result<Token<'a>, ParseError> {
        let (start, position) = (self.at, self.position);
        let mut unescaped: Option<String> = None;
        while let Some(c) = self.peek().filter(|c| is_word_character(*c)) {
            if c == '\\' {
                let before = &self.text[start..self.at];
                let c = self.escape()?;
                unescaped.get_or_insert_with(|| before.to_owned()).push(c);
            } else {
                self.bump();
                if let Some(unescaped) = &mut unescaped {
                    unescaped.push(c);
                }
            }
        }
        // A word with an escape in it is never a keyword, a number or reserved: this is how one writes such words
        // without quotes.
        if let Some(unescaped) = unescaped {
            return Ok(Token { kind: TokenKind::Word, text: Cow::Owned(unescaped), position });
        }
        let word = &self.text[start..self.at];
        match word_kind(word) {
            Some(kind) => Ok(Token { kind, text: Cow::Borrowed(word), position }),
            None => Err(ParseError::ReservedWord { word: word.to_owned(), position }),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token<'a>, ParseError> {
        let position = self.position;
        self.bump();
        let start = self.at;
        let mut unescaped: Option<String> = None;
        while let Some(c) = self.peek() {
            if c == quote {
                let written = &self.text[start..self.at];
                self.bump();
                return Ok(Token {
                    kind: TokenKind::Quoted,
                    text: unescaped.map_or(Cow::Borrowed(written), Cow::Owned),
                    position,
                });
            }
            if is_illegal_in_quotes(c) {
                return Err(ParseError::IllegalCharacter { character: c, position: self.position });
            }
            if c == '\\' {
                let before = &self.text[start..self.at];
                let c = self.escape()?;
                unescaped.get_or_insert_with(|| before.to_owned()).push(c);
            } else {
                self.bump();
                if let Some(unescaped) = &mut unescaped {
                    unescaped.push(c);
                }
            }
        }
        Err(ParseError::UnfinishedString { text: one_line(&self.text[start..]), position })
    }

    /// Reads an escape, of which the backslash is next.
    fn escape(&mut self) -> Result<char, ParseError> {
        let (start, position) = (self.at, self.position);
        self.bump();
        let Some(c) = self.peek() else {
            return Err(ParseError::UnfinishedEscape { position });
        };
        self.bump();
        match c {
            '\'' | '"' | '\\' | ' ' => Ok(c),
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            'u' => {
                let mut unit = self.hex4(start, position)?;
                if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u") {
                    self.bump();
                    self.bump();
                    let low = self.hex4(start, position)?;
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                // Half a surrogate pair is no text of ours; Jira, being Java, would keep it.
                char::from_u32(unit).ok_or_else(|| self.illegal_escape(start, position))
            }
            _ => Err(self.illegal_escape(start, position)),
        }
    }

    fn hex4(&mut self, start: usize, position: Position) -> Result<u32, ParseError> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(c) = self.peek() else {
                return Err(self.illegal_escape(start, position));
            };
            self.bump();
            let digit = c.to_digit(16).ok_or_else(|| self.illegal_escape(start, position))?;
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    fn illegal_escape(&self, start: usize, position: Position) -> ParseError {
        ParseError::IllegalEscape { escape: one_line(&self.text[start..self.at]), position }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) {
        let Some(c) = self.peek() else { return };
        self.at += c.len_utf8();
        if c == '\n' {
            self.position = Position { line: self.position.line + 1, character: 1 };
        } else {
            self.position.character += if c.len_utf16() == 1 { 1 } else { 2 };
        }
    }
}

/// Jira's messages show line breaks as spaces.
pub(super) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Vec<(TokenKind, String)> {
        tokens(text).unwrap().into_iter().map(|token| (token.kind, token.text.into_owned())).collect()
    }

    fn error(text: &str) -> String {
        tokens(text).unwrap_err().to_string().replace("Error in the JQL Query: ", "")
    }

    #[test]
    fn reserved_words_are_sorted_and_distinct_from_keywords() {
        assert!(RESERVED_WORDS.is_sorted());
        assert!(KEYWORDS.iter().all(|word| keyword(word).is_some() && !RESERVED_WORDS.contains(word)));
    }

    #[test]
    fn every_reserved_word_is_refused_in_any_case() {
        for word in RESERVED_WORDS {
            let word = word.to_uppercase();
            assert_eq!(
                error(&format!("summary ~ {word}")),
                format!(
                    "'{word}' is a reserved JQL word. You must surround it in quotation marks to use it in a query. (line 1, character 11)"
                )
            );
        }
    }

    #[test]
    fn stop_words_of_the_help_page_are_ordinary_words() {
        for word in [
            "a", "an", "are", "at", "be", "but", "it", "no", "such", "that", "the", "their", "there", "these", "they",
            "this", "will",
        ] {
            assert_eq!(lex(word)[0].0, TokenKind::Word, "{word}");
        }
    }

    #[test]
    fn words_numbers_and_symbols_are_told_apart() {
        use TokenKind::*;
        let kinds = |text: &str| lex(text).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
        assert_eq!(kinds("a`b:c-d.e_f - --5 5.5 -5d 5 -5"), [Word, Word, Word, Word, Word, Number, Number, End]);
        assert_eq!(
            kinds("==!!=!~<=<>=>~"),
            [Equals, Equals, Bang, NotEquals, NotLike, LessOrEqual, Less, GreaterOrEqual, Greater, Like, End]
        );
        assert_eq!(
            lex("a|b||c&d&&&e").into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
            ["a", "|", "b", "||", "c", "&", "d", "&&", "&", "e", ""]
        );
        assert_eq!(lex("x\u{a0}y\u{feff}")[0], (Word, "x\u{a0}y\u{feff}".to_owned()));
        assert_eq!(lex(r"\u0061nd")[0], (Word, "and".to_owned()));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(lex(r#""a\"b\'c\\d\te\nf\rg\ hé\u00e9\ud83d\ude00""#)[0].1, "a\"b'c\\d\te\nf\rg hé\u{e9}\u{1f600}");
        assert_eq!(lex(r"'it\'s' bare\ word")[1].1, "bare word");
        assert_eq!(lex("'two\nlines'")[0].1, "two\nlines");
    }

    #[test]
    fn bad_characters_and_escapes_are_refused_in_jiras_words() {
        const VALID: &str = r#"The valid escape sequences are \', \", \t, \n, \r, \\, '\ ' and \uXXXX."#;
        let illegal =
            |escape: &str, place: &str| format!("'{escape}' is an illegal JQL escape sequence. {VALID} (line {place})");
        let unfinished = |place: &str| format!("The escape sequence has not been completed. {VALID} (line {place})");
        let reserved = |c: char, code: &str, character: u32| {
            format!(
                "The character '{c}' is a reserved JQL character. You must enclose it in a string or use the escape '\\u{code}' instead. (line 1, character {character})"
            )
        };
        for (text, expected) in [
            ("mine{www = qwwr", reserved('{', "007b", 5)),
            ("minewww# = qwwr", reserved('#', "0023", 8)),
            ("minewww = qwwr}", reserved('}', "007d", 15)),
            ("reporter=a/user/with/slash", reserved('/', "002f", 11)),
            ("😀😀 = a@b", reserved('@', "0040", 9)),
            (
                "minewww =\u{7f}qwwr",
                "The character 'U+007F' on line 1 at position 10 must be escaped. Use the escape '\\u007f' instead. (line 1, character 10)".to_owned(),
            ),
            (
                "mqwwr=\"\u{7f} this is broken\"",
                "The character 'U+007F' on line 1 at position 8 must be escaped. Use the escape '\\u007f' instead. (line 1, character 8)".to_owned(),
            ),
            (
                "c = 'char\t'",
                "The character 'U+0009' on line 1 at position 10 must be escaped. Use the escape '\\u0009' instead. (line 1, character 10)".to_owned(),
            ),
            ("comment ~ 'test", "The quoted string 'test' has not been completed. (line 1, character 11)".to_owned()),
            ("comment ~ 'test\n", "The quoted string 'test ' has not been completed. (line 1, character 11)".to_owned()),
            ("priority=\"test\nword", "The quoted string 'test word' has not been completed. (line 1, character 10)".to_owned()),
            ("comment ~ '", "The quoted string has not been completed. (line 1, character 11)".to_owned()),
            ("priority = \"\"\"", "The quoted string has not been completed. (line 1, character 14)".to_owned()),
            ("comme\\unt ~ 'test", illegal("\\un", "1, character 6")),
            ("status =\n\n\n\n\n\n \\c", illegal("\\c", "7, character 2")),
            ("status =\n\n\n\n \\csss", illegal("\\c", "5, character 2")),
            ("status =\n\n\n\n\\u", illegal("\\u", "5, character 1")),
            ("status =\n\n\n\n'\\u'", illegal("\\u'", "5, character 2")),
            ("test = case\\u278q", illegal("\\u278q", "1, character 12")),
            ("a = '\\ud83d\\u0041'", illegal("\\ud83d\\u0041", "1, character 6")),
            ("a = '\\ude00'", illegal("\\ude00", "1, character 6")),
            ("summary \\!= 5", illegal("\\!", "1, character 9")),
            ("status =\n\n\n\n\\", unfinished("5, character 1")),
            ("test = \"case\\", unfinished("1, character 13")),
        ] {
            assert_eq!(error(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_text_over_the_bound_is_refused_before_it_is_read() {
        assert!(tokens(&"a".repeat(TEXT_BYTES_MAX)).is_ok());
        assert_eq!(tokens(&"{".repeat(TEXT_BYTES_MAX + 1)).unwrap_err(), ParseError::TextTooLong);
    }
}
