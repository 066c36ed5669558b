//! Text search: from what follows `~` to `LIKE` patterns.
//!
//! Every word must occur, a quoted phrase as it stands; `OR` between words gives alternatives, `-word` or `NOT word` excludes,
//! `*` and `?` stand for any characters and for one. Words match anywhere in the text: there is no stemming and no word index.

use crate::search::fragment::Fragment;

/// The most words and phrases in one text query.
const TERMS_MAX: usize = 64;

/// The longest text query, in characters.
const TEXT_CHARS_MAX: usize = 4_096;

/// A text query: one of the alternatives must match, in which all terms hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextQuery(Vec<Vec<Term>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    pattern: String,
    excluded: bool,
}

impl TextQuery {
    /// Reads a text query; `None` when nothing is left to search for, or too much.
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().count() > TEXT_CHARS_MAX {
            return None;
        }
        let mut alternatives = vec![Vec::new()];
        let (mut excluded, mut count) = (false, 0);
        for token in tokens(text) {
            match token {
                Token::Word("AND" | "&&") => {}
                Token::Word("OR" | "||") => alternatives.push(Vec::new()),
                Token::Word("NOT" | "!") => excluded = true,
                Token::Word(word) => {
                    let minus = word.starts_with('-');
                    let Some(pattern) = pattern_of_word(word) else { continue };
                    count += 1;
                    alternatives.last_mut()?.push(Term { pattern, excluded: excluded || minus });
                    excluded = false;
                }
                Token::Phrase(phrase, minus) => {
                    let mut pattern = String::from("%");
                    phrase.trim().to_lowercase().chars().for_each(|c| push_literal(&mut pattern, c));
                    pattern.push('%');
                    if phrase.trim().is_empty() {
                        continue;
                    }
                    count += 1;
                    alternatives.last_mut()?.push(Term { pattern, excluded: excluded || minus });
                    excluded = false;
                }
            }
        }
        alternatives.retain(|terms| !terms.is_empty());
        // As in Jira's index, a query of nothing but exclusions finds nothing sensible to start from.
        let positive = alternatives.iter().all(|terms| terms.iter().any(|term| !term.excluded));
        (!alternatives.is_empty() && positive && count <= TERMS_MAX).then_some(Self(alternatives))
    }

    /// `(..)`: the folded column matches.
    pub fn matches(&self, column: &'static str) -> Fragment {
        Fragment::any(
            self.0.iter().map(|terms| Fragment::all(terms.iter().map(|term| like(column, term)).collect())).collect(),
        )
    }
}

fn like(column: &'static str, term: &Term) -> Fragment {
    let mut out = Fragment::new(column);
    out.push(if term.excluded { " NOT LIKE " } else { " LIKE " }).bind(term.pattern.as_str()).push(" ESCAPE '\\'");
    out
}

fn push_literal(pattern: &mut String, c: char) {
    if matches!(c, '%' | '_' | '\\') {
        pattern.push('\\');
    }
    pattern.push(c);
}

enum Token<'a> {
    Word(&'a str),
    /// The text between quotes, and whether a minus stood before them.
    Phrase(&'a str, bool),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (minus, bare) = match rest.strip_prefix('-') {
            Some(bare) => (true, bare),
            None => (false, rest.strip_prefix('+').unwrap_or(rest)),
        };
        if let Some(quoted) = bare.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            let (phrase, after) = quoted.split_at(end);
            out.push(Token::Phrase(phrase, minus));
            rest = after.trim_start_matches('"');
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            out.push(Token::Word(word));
            rest = after;
        }
        rest = rest.trim_start();
    }
    out
}

/// Grouping, boosts and fuzziness of the index's query language carry no meaning here and are left out.
fn pattern_of_word(word: &str) -> Option<String> {
    let word = word.trim_start_matches(['+', '-', '!', '(']).trim_end_matches(')');
    let word = match word.rfind(['~', '^']) {
        Some(at) if word[at + 1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => &word[..at],
        _ => word,
    };
    let mut pattern = String::from("%");
    let mut letters = 0;
    let mut chars = word.to_lowercase().chars().collect::<Vec<_>>().into_iter();
    while let Some(c) = chars.next() {
        match c {
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '"' => {}
            '\\' => {
                let Some(next) = chars.next() else { break };
                letters += 1;
                push_literal(&mut pattern, next);
            }
            c => {
                letters += 1;
                push_literal(&mut pattern, c);
            }
        }
    }
    pattern.push('%');
    (letters > 0).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::TextQuery;

    fn shown(text: &str) -> String {
        TextQuery::parse(text).map_or_else(|| "none".to_owned(), |query| query.matches("s").text())
    }

    #[test]
    fn words_phrases_and_wildcards_become_patterns() {
        for (text, expected) in [
            ("Login", r#"s LIKE $1=Text("%login%") ESCAPE '\'"#),
            ("log*", r#"s LIKE $1=Text("%log%%") ESCAPE '\'"#),
            ("l?g", r#"s LIKE $1=Text("%l_g%") ESCAPE '\'"#),
            ("100%_x!", r#"s LIKE $1=Text("%100\\%\\_x!%") ESCAPE '\'"#),
            ("a b", r#"(s LIKE $1=Text("%a%") ESCAPE '\' AND s LIKE $2=Text("%b%") ESCAPE '\')"#),
            ("a AND b", r#"(s LIKE $1=Text("%a%") ESCAPE '\' AND s LIKE $2=Text("%b%") ESCAPE '\')"#),
            ("a OR b", r#"(s LIKE $1=Text("%a%") ESCAPE '\' OR s LIKE $2=Text("%b%") ESCAPE '\')"#),
            ("a -b", r#"(s LIKE $1=Text("%a%") ESCAPE '\' AND s NOT LIKE $2=Text("%b%") ESCAPE '\')"#),
            ("\"Out of memory\"", r#"s LIKE $1=Text("%out of memory%") ESCAPE '\'"#),
            ("roam~0.8", r#"s LIKE $1=Text("%roam%") ESCAPE '\'"#),
            ("VIP-1", r#"s LIKE $1=Text("%vip-1%") ESCAPE '\'"#),
            ("AND", "none"),
            ("*", "none"),
            ("-b", "none"),
            ("  ", "none"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown(&"w ".repeat(65)), "none");
    }
}
