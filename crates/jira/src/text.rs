//! Text as it is compared and shown: folding, `LIKE` patterns, HTML.

use portcullis_model::Problem;
use serde_json::Value as Json;

/// How `*_folded` columns hold text.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// A pattern for `LIKE $n ESCAPE '\'` that matches texts beginning with `text`.
pub fn begins_with(text: &str) -> String {
    format!("{}%", escape_like(&fold(text)))
}

/// A pattern for `LIKE $n ESCAPE '\'` that matches texts in which a later word begins with `text`.
pub fn word_begins_with(text: &str) -> String {
    format!("% {}%", escape_like(&fold(text)))
}

/// A pattern for `LIKE $n ESCAPE '\'` that matches texts containing `text`.
pub fn contains(text: &str) -> String {
    format!("%{}%", escape_like(&fold(text)))
}

fn escape_like(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Text as the content of an HTML element.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// `text` as HTML with the first place where a word begins with `query` in bold, as pickers show it.
pub fn highlight(text: &str, query: &str) -> String {
    let query = fold(query);
    let starts =
        text.char_indices().filter(|(at, _)| *at == 0 || text.get(..*at).is_some_and(|head| head.ends_with(' ')));
    for (at, _) in starts {
        let (Some(head), Some(tail)) = (text.get(..at), text.get(at..)) else { continue };
        // Folding may change lengths: find the shortest piece that folds to the query.
        let end = tail
            .char_indices()
            .map(|(end, c)| end + c.len_utf8())
            .find(|end| tail.get(..*end).is_some_and(|piece| fold(piece) == query));
        if let Some((hit, rest)) = end.and_then(|end| tail.split_at_checked(end)) {
            return format!("{}<strong>{}</strong>{}", escape_html(head), escape_html(hit), escape_html(rest));
        }
    }
    escape_html(text)
}

/// A number that clients send as a number or as text.
pub fn int_of(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// Refuses text longer than `chars_max`.
///
/// # Errors
/// 400 about the field.
pub fn bounded(field: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
    if text.chars().count() > chars_max {
        return Err(Problem::field(field, format!("The {field} must not exceed {chars_max} characters in length.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{begins_with, highlight};

    #[test]
    fn wildcards_of_the_caller_match_themselves() {
        assert_eq!(begins_with("100%_A\\"), "100\\%\\_a\\\\%");
    }

    #[test]
    fn highlight_marks_the_beginning_of_a_word_and_escapes_the_rest() {
        assert_eq!(highlight("Mia <Krystof>", "kry"), "Mia &lt;Krystof&gt;");
        assert_eq!(highlight("Mia Krystof & Co", "KRY"), "Mia <strong>Kry</strong>stof &amp; Co");
        assert_eq!(highlight("Mia", ""), "Mia");
    }
}
