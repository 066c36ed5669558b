use super::ast::{Operator, Position, PredicateKind, quote_value};
use super::{CLAUSES_MAX, DEPTH_MAX, LIST_VALUES_MAX, ORDER_FIELDS_MAX, QUERY_VALUES_MAX, TEXT_BYTES_MAX};

/// Why a text is not JQL. The messages are whole `errorMessages` entries in Jira's words, so they break the rule of
/// lower case and no full stop.
///
/// Source: answers of live sites as quoted in public tests and issues (see the module). The prefix is "Error in the JQL
/// Query: ", but really "Error in JQL Query: " for a missing operand. Bounds have words of our own, as has what is
/// marked so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("Error in the JQL Query: The query is too long. It must not be longer than {TEXT_BYTES_MAX} bytes.")]
    TextTooLong,
    #[error(
        "Error in the JQL Query: The query is nested too deeply. At most {DEPTH_MAX} levels are allowed. {position}"
    )]
    TooDeep { position: Position },
    #[error("Error in the JQL Query: The query has too many clauses. At most {CLAUSES_MAX} are allowed. {position}")]
    TooManyClauses { position: Position },
    #[error("Error in the JQL Query: The list has too many values. At most {LIST_VALUES_MAX} are allowed. {position}")]
    ListTooLong { position: Position },
    #[error(
        "Error in the JQL Query: The query has too many values. At most {QUERY_VALUES_MAX} are allowed. {position}"
    )]
    TooManyValues { position: Position },
    #[error(
        "Error in the JQL Query: The query is ordered by too many fields. At most {ORDER_FIELDS_MAX} are allowed. {position}"
    )]
    TooManyOrderFields { position: Position },

    #[error(
        "Error in the JQL Query: '{word}' is a reserved JQL word. You must surround it in quotation marks to use it in a query. {position}"
    )]
    ReservedWord { word: String, position: Position },
    #[error(
        "Error in the JQL Query: The character '{character}' is a reserved JQL character. You must enclose it in a string or use the escape '{}' instead. {position}",
        super::lexer::unicode_escape(*character)
    )]
    ReservedCharacter { character: char, position: Position },
    #[error(
        "Error in the JQL Query: The character 'U+{:04X}' on line {} at position {} must be escaped. Use the escape '{}' instead. {position}",
        u32::from(*character), position.line, position.character, super::lexer::unicode_escape(*character)
    )]
    IllegalCharacter { character: char, position: Position },
    #[error(r#"Error in the JQL Query: '{escape}' is an illegal JQL escape sequence. The valid escape sequences are \', \", \t, \n, \r, \\, '\ ' and \uXXXX. {position}"#)]
    IllegalEscape { escape: String, position: Position },
    #[error(r#"Error in the JQL Query: The escape sequence has not been completed. The valid escape sequences are \', \", \t, \n, \r, \\, '\ ' and \uXXXX. {position}"#)]
    UnfinishedEscape { position: Position },
    #[error("Error in the JQL Query: The quoted string {}has not been completed. {position}", in_quotes(text))]
    UnfinishedString { text: String, position: Position },
    #[error(
        "Error in the JQL Query: '{text}' is not a valid number. Numbers must be between -9,223,372,036,854,775,808 and 9,223,372,036,854,775,807. {position}"
    )]
    IllegalNumber { text: String, position: Position },

    #[error("Error in the JQL Query: A field name cannot be empty. {position}")]
    EmptyField { position: Position },
    #[error("Error in the JQL Query: A function name cannot be empty. {position}")]
    EmptyFunction { position: Position },
    #[error("Error in the JQL Query: Function argument must be specified. {position}")]
    EmptyArgument { position: Position },

    #[error("Error in the JQL Query: Expecting a field name {}", found.at_end_or("at the end of the query.", "You must surround '{}' in quotation marks to use it as a field name."))]
    ExpectedField { found: Found },
    #[error("Error in the JQL Query: Expecting a field name but got '['. Did you mean 'cf['? {position}")]
    ExpectedCustomField { position: Position },
    #[error("Error in the JQL Query: Expecting a custom field id (a positive number) {}", found.at_end_or(BEFORE_END, ""))]
    ExpectedCustomFieldId { found: Found },
    /// The words are those of Atlassian's editor; the server's are not known.
    #[error("Error in the JQL Query: Expecting a property id {}", found.at_end_or(BEFORE_END, "You must surround '{}' in quotation marks to use it as a value."))]
    ExpectedPropertyKey { found: Found },
    #[error("Error in the JQL Query: Expecting operator {}", found.operator())]
    ExpectedOperator { found: Found },
    #[error("Error in JQL Query: Expecting either a value, list or function {}", found.at_end_or(BEFORE_END, "You must surround '{}' in quotation marks to use it as a value."))]
    ExpectedOperand { found: Found },
    #[error("Error in the JQL Query: Expecting a function argument {}", found.at_end_or("at the end of the query.", "You must surround '{}' in quotation marks to use it as an argument."))]
    ExpectedArgument { found: Found },
    #[error("Error in the JQL Query: Expecting either 'OR' or 'AND' {}", found.at_end_or(BEFORE_END, ""))]
    ExpectedLogicalOperator { found: Found },
    #[error("Error in the JQL Query: Expecting either 'ASC' or 'DESC' {}", found.at_end_or(BEFORE_END, ""))]
    ExpectedDirection { found: Found },
    /// One certain token, or two: `')'`, `')' or ','`.
    #[error("Error in the JQL Query: Expecting {expected} {}", found.at_end_or(BEFORE_END, ""))]
    Expected { expected: &'static str, found: Found },

    #[error(
        "Error in the JQL Query: The {} operator does not support the use of the {} \"{operand}\" predicate. {position}",
        operator.name(), predicate.symbol().to_ascii_lowercase()
    )]
    PredicateUnsupported { operator: Operator, predicate: PredicateKind, operand: String, position: Position },
    #[error(
        "Error in the JQL Query: The CHANGED operator does not support the use of values without predicates. You must prefix the {} value with a suitable predicate. {position}",
        quote_value(value)
    )]
    ValueWithoutPredicate { value: String, position: Position },
}

const BEFORE_END: &str = "before the end of the query.";

/// What stood where something else was expected. Source: Jira's messages name a token with its place, and the end of
/// the query without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    End,
    Token { text: String, position: Position },
}

impl Found {
    /// `end`, or "but got 'x'. {advice} (line 1, character 2)", in whose advice `{}` stands for the token.
    fn at_end_or(&self, end: &str, advice: &str) -> String {
        match self {
            Self::End => end.to_owned(),
            Self::Token { text, position } if advice.is_empty() => format!("but got '{text}'. {position}"),
            Self::Token { text, position } => {
                format!("but got '{text}'. {} {position}", advice.replacen("{}", text, 1))
            }
        }
    }

    fn operator(&self) -> String {
        const VALID: &str =
            "The valid operators are '=', '!=', '<', '>', '<=', '>=', '~', '!~', 'IN', 'NOT IN', 'IS' and 'IS NOT'.";
        match self {
            Self::End => format!("{BEFORE_END} {VALID}"),
            Self::Token { text, position } => format!("but got '{text}'. {VALID} {position}"),
        }
    }
}

fn in_quotes(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("'{text}' ") }
}
