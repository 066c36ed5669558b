use super::ast::{
    Clause, Direction, Field, Operand, Operator, Order, Position, Predicate, PredicateKind, Query, Terminal, Value,
};
use super::error::{Found, ParseError};
use super::lexer::{self, Keyword, Token, TokenKind};
use super::{CLAUSES_MAX, DEPTH_MAX, LIST_VALUES_MAX, ORDER_FIELDS_MAX, QUERY_VALUES_MAX};

/// Reads JQL; a filter of nothing but words (`crash login`, `"out of memory"`) is a text search.
///
/// That rule is narrow on purpose: every token before `ORDER BY` must be a word, number or quoted string. One operator,
/// keyword, reserved word, parenthesis or comma makes the text JQL, and a mistake in it an error. So `this is not jql`
/// is the clause `this IS NOT jql`, as in Jira, and no text search.
///
/// Source: section 6 of our notes on the Jira API, for clients that send what a person typed. Jira's own grammar has no
/// such rule: see [`parse_strict`].
pub fn parse(text: &str) -> Result<Query, ParseError> {
    let tokens = lexer::tokens(text)?;
    let words = tokens
        .iter()
        .take_while(|token| matches!(token.kind, TokenKind::Word | TokenKind::Number | TokenKind::Quoted))
        .count();
    if !matches!(tokens[words].kind, TokenKind::End | TokenKind::Keyword(Keyword::Order)) {
        return Parser::new(tokens).query();
    }
    let search = tokens[..words].iter().map(|token| &*token.text).collect::<Vec<_>>().join(" ");
    if search.trim().is_empty() {
        return Parser::new(tokens).query();
    }
    let order_by = Parser { next: words, ..Parser::new(tokens) }.order_by()?;
    Ok(Query { filter: Some(Clause::TextSearch(search)), order_by })
}

/// Reads JQL by Jira's grammar alone, in which bare words are an error: for what people save or check, such as filters
/// and `POST /jql/parse`.
///
/// Source: the OpenAPI document's example of `POST /rest/api/3/jql/parse`, in which `invalid query` answers "Expecting
/// operator but got 'query'".
pub fn parse_strict(text: &str) -> Result<Query, ParseError> {
    Parser::new(lexer::tokens(text)?).query()
}

struct Parser<'a> {
    /// The last one is `End`, which is never taken.
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    clauses: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn new(tokens: Vec<Token<'a>>) -> Self {
        Self { tokens, next: 0, depth: 0, clauses: 0, values: 0 }
    }

    fn query(mut self) -> Result<Query, ParseError> {
        let filter = match self.kind() {
            TokenKind::End | TokenKind::Keyword(Keyword::Order) => None,
            _ => Some(self.or()?),
        };
        Ok(Query { filter, order_by: self.order_by()? })
    }

    /// The rest of the query: `ORDER BY ...` or nothing.
    fn order_by(mut self) -> Result<Vec<Order>, ParseError> {
        let mut orders = Vec::new();
        if self.kind() == TokenKind::End {
            return Ok(orders);
        }
        if !self.take_if(TokenKind::Keyword(Keyword::Order)) {
            return Err(ParseError::ExpectedLogicalOperator { found: self.found() });
        }
        self.expect(TokenKind::Keyword(Keyword::By), "'by'")?;
        loop {
            let position = self.position();
            if orders.len() == ORDER_FIELDS_MAX {
                return Err(ParseError::TooManyOrderFields { position });
            }
            let field = self.field()?;
            let direction = match self.kind() {
                TokenKind::Keyword(Keyword::Asc) => Some(Direction::Ascending),
                TokenKind::Keyword(Keyword::Desc) => Some(Direction::Descending),
                _ => None,
            };
            if direction.is_some() {
                self.skip();
            }
            orders.push(Order { field, direction, position });
            match (self.kind(), direction) {
                (TokenKind::End, _) => return Ok(orders),
                (TokenKind::Comma, _) => self.skip(),
                (_, None) => return Err(ParseError::ExpectedDirection { found: self.found() }),
                (_, Some(_)) => return Err(ParseError::Expected { expected: "','", found: self.found() }),
            }
        }
    }

    fn or(&mut self) -> Result<Clause, ParseError> {
        let mut clauses = vec![self.and()?];
        while self.take_if(TokenKind::Keyword(Keyword::Or)) {
            clauses.push(self.and()?);
        }
        Ok(one_or(clauses, Clause::Or))
    }

    fn and(&mut self) -> Result<Clause, ParseError> {
        let mut clauses = vec![self.not()?];
        while self.take_if(TokenKind::Keyword(Keyword::And)) {
            clauses.push(self.not()?);
        }
        Ok(one_or(clauses, Clause::And))
    }

    fn not(&mut self) -> Result<Clause, ParseError> {
        match self.kind() {
            TokenKind::Keyword(Keyword::Not) | TokenKind::Bang => {
                self.nested(|parser| Ok(Clause::Not(Box::new(parser.not()?))))
            }
            TokenKind::Open => self.nested(|parser| {
                let clause = parser.or()?;
                parser.expect(TokenKind::Close, "')'")?;
                Ok(clause)
            }),
            _ => Ok(Clause::Terminal(self.terminal()?)),
        }
    }

    fn terminal(&mut self) -> Result<Terminal, ParseError> {
        let position = self.position();
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return Err(ParseError::TooManyClauses { position });
        }
        let field = self.field()?;
        let operator = self.operator()?;
        let operand = match operator {
            Operator::Changed => self.no_operand()?,
            _ => self.operand()?,
        };
        let mut predicates = Vec::new();
        while let Some(kind) = self.predicate_kind() {
            let position = self.position();
            self.skip();
            let predicate = Predicate { kind, operand: self.operand()?, position };
            if !operator.is_history() {
                let operand = predicate.operand.to_string();
                return Err(ParseError::PredicateUnsupported {
                    operator,
                    predicate: kind,
                    operand: operand.trim_matches('"').to_owned(),
                    position,
                });
            }
            predicates.push(predicate);
        }
        Ok(Terminal { field, operator, operand, predicates, position })
    }

    fn field(&mut self) -> Result<Field, ParseError> {
        let position = self.position();
        match self.kind() {
            TokenKind::Word | TokenKind::Quoted | TokenKind::Number => {
                let name = self.take_text();
                if name.trim().is_empty() {
                    return Err(ParseError::EmptyField { position });
                }
                if self.kind() == TokenKind::OpenBracket { self.property(name) } else { Ok(Field::Named(name)) }
            }
            TokenKind::Keyword(Keyword::CustomField) => self.custom_field(),
            TokenKind::OpenBracket => Err(ParseError::ExpectedCustomField { position }),
            _ => Err(ParseError::ExpectedField { found: self.found() }),
        }
    }

    /// `cf[10010]`, of which `cf` is next.
    fn custom_field(&mut self) -> Result<Field, ParseError> {
        self.skip();
        self.expect(TokenKind::OpenBracket, "'['")?;
        if self.kind() != TokenKind::Number || self.tokens[self.next].text.starts_with('-') {
            return Err(ParseError::ExpectedCustomFieldId { found: self.found() });
        }
        let id = self.number()?;
        self.expect(TokenKind::CloseBracket, "']'")?;
        Ok(Field::CustomId(id.unsigned_abs()))
    }

    /// `owner[key].path`, of which the bracket is next.
    fn property(&mut self, owner: String) -> Result<Field, ParseError> {
        self.skip();
        let key = match self.kind() {
            TokenKind::Word | TokenKind::Quoted | TokenKind::Number => self.take_text(),
            _ => return Err(ParseError::ExpectedPropertyKey { found: self.found() }),
        };
        self.expect(TokenKind::CloseBracket, "']'")?;
        let path = match &self.tokens[self.next] {
            Token { kind: TokenKind::Word, text, .. } => {
                text.strip_prefix('.').filter(|path| !path.is_empty() && !path.starts_with('.')).map(str::to_owned)
            }
            _ => None,
        };
        if path.is_some() {
            self.skip();
        }
        Ok(Field::Property { owner, key, path })
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        let operator = match self.kind() {
            TokenKind::Equals => Operator::Equals,
            TokenKind::NotEquals => Operator::NotEquals,
            TokenKind::Like => Operator::Like,
            TokenKind::NotLike => Operator::NotLike,
            TokenKind::Less => Operator::Less,
            TokenKind::LessOrEqual => Operator::LessOrEqual,
            TokenKind::Greater => Operator::Greater,
            TokenKind::GreaterOrEqual => Operator::GreaterOrEqual,
            TokenKind::Keyword(Keyword::In) => Operator::In,
            TokenKind::Keyword(Keyword::Changed) => Operator::Changed,
            TokenKind::Keyword(Keyword::Not) => {
                self.skip();
                self.expect(TokenKind::Keyword(Keyword::In), "'IN'")?;
                return Ok(Operator::NotIn);
            }
            TokenKind::Keyword(Keyword::Is) => {
                self.skip();
                // Jira's server singles this one out: elsewhere `!` stands for NOT.
                if self.kind() == TokenKind::Bang {
                    return Err(ParseError::Expected { expected: "'NOT'", found: self.found() });
                }
                let not = self.take_if(TokenKind::Keyword(Keyword::Not));
                return Ok(if not { Operator::IsNot } else { Operator::Is });
            }
            TokenKind::Keyword(Keyword::Was) => {
                self.skip();
                let not = self.take_if(TokenKind::Keyword(Keyword::Not));
                let within = self.take_if(TokenKind::Keyword(Keyword::In));
                return Ok(match (not, within) {
                    (false, false) => Operator::Was,
                    (true, false) => Operator::WasNot,
                    (false, true) => Operator::WasIn,
                    (true, true) => Operator::WasNotIn,
                });
            }
            _ => return Err(ParseError::ExpectedOperator { found: self.found() }),
        };
        self.skip();
        Ok(operator)
    }

    /// After `CHANGED` nothing or a predicate follows, but `changed 4` deserves to be told what is missing.
    fn no_operand(&self) -> Result<Operand, ParseError> {
        match self.kind() {
            TokenKind::Word | TokenKind::Quoted | TokenKind::Number => {
                let Token { text, position, .. } = &self.tokens[self.next];
                Err(ParseError::ValueWithoutPredicate { value: lexer::one_line(text), position: *position })
            }
            _ => Ok(Operand::Absent),
        }
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        if self.kind() == TokenKind::Open {
            let mut values = Vec::new();
            self.list(&mut values)?;
            return Ok(Operand::List(values));
        }
        Ok(match self.value()? {
            Value::Empty => Operand::Empty,
            value => Operand::Single(value),
        })
    }

    /// Adds the values of a list, of which the parenthesis is next.
    fn list(&mut self, values: &mut Vec<Value>) -> Result<(), ParseError> {
        self.nested(|parser| {
            loop {
                if parser.kind() == TokenKind::Open {
                    parser.list(values)?;
                } else {
                    let position = parser.position();
                    let value = parser.value()?;
                    if values.len() == LIST_VALUES_MAX {
                        return Err(ParseError::ListTooLong { position });
                    }
                    values.push(value);
                }
                if !parser.take_if(TokenKind::Comma) {
                    return parser.expect(TokenKind::Close, "')'");
                }
            }
        })
    }

    fn value(&mut self) -> Result<Value, ParseError> {
        self.count_value()?;
        match self.kind() {
            TokenKind::Word | TokenKind::Quoted | TokenKind::Number if self.kind_after() == TokenKind::Open => {
                self.function()
            }
            TokenKind::Word | TokenKind::Quoted => Ok(Value::Text(self.take_text())),
            TokenKind::Number => Ok(Value::Number(self.number()?)),
            TokenKind::Keyword(Keyword::Empty) => {
                self.skip();
                Ok(Value::Empty)
            }
            _ => Err(ParseError::ExpectedOperand { found: self.found() }),
        }
    }

    fn function(&mut self) -> Result<Value, ParseError> {
        let position = self.position();
        let name = self.take_text();
        if name.trim().is_empty() {
            return Err(ParseError::EmptyFunction { position });
        }
        self.skip();
        let mut args = Vec::new();
        if self.take_if(TokenKind::Close) {
            return Ok(Value::Function { name, args });
        }
        loop {
            let position = self.position();
            match self.kind() {
                TokenKind::Word | TokenKind::Quoted | TokenKind::Number if args.len() == LIST_VALUES_MAX => {
                    return Err(ParseError::ListTooLong { position });
                }
                TokenKind::Word | TokenKind::Quoted | TokenKind::Number => {
                    self.count_value()?;
                    args.push(self.take_text());
                }
                TokenKind::End | TokenKind::Comma if args.is_empty() => {
                    return Err(ParseError::Expected { expected: "')'", found: self.found() });
                }
                TokenKind::Close => return Err(ParseError::EmptyArgument { position }),
                _ => return Err(ParseError::ExpectedArgument { found: self.found() }),
            }
            match self.kind() {
                TokenKind::Comma => self.skip(),
                TokenKind::Close => {
                    self.skip();
                    return Ok(Value::Function { name, args });
                }
                TokenKind::End => return Err(ParseError::Expected { expected: "')'", found: Found::End }),
                _ => return Err(ParseError::Expected { expected: "')' or ','", found: self.found() }),
            }
        }
    }

    fn count_value(&mut self) -> Result<(), ParseError> {
        self.values += 1;
        if self.values > QUERY_VALUES_MAX {
            return Err(ParseError::TooManyValues { position: self.position() });
        }
        Ok(())
    }

    fn predicate_kind(&self) -> Option<PredicateKind> {
        match self.kind() {
            TokenKind::Keyword(Keyword::After) => Some(PredicateKind::After),
            TokenKind::Keyword(Keyword::Before) => Some(PredicateKind::Before),
            TokenKind::Keyword(Keyword::By) => Some(PredicateKind::By),
            TokenKind::Keyword(Keyword::During) => Some(PredicateKind::During),
            TokenKind::Keyword(Keyword::From) => Some(PredicateKind::From),
            TokenKind::Keyword(Keyword::On) => Some(PredicateKind::On),
            TokenKind::Keyword(Keyword::To) => Some(PredicateKind::To),
            _ => None,
        }
    }

    /// Takes the number that is next.
    fn number(&mut self) -> Result<i64, ParseError> {
        let position = self.position();
        let text = self.take_text();
        text.parse().map_err(|_| ParseError::IllegalNumber { text, position })
    }

    /// Takes the token that opens another level and reads that level.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth == DEPTH_MAX {
            return Err(ParseError::TooDeep { position: self.position() });
        }
        self.skip();
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn expect(&mut self, kind: TokenKind, expected: &'static str) -> Result<(), ParseError> {
        if self.take_if(kind) { Ok(()) } else { Err(ParseError::Expected { expected, found: self.found() }) }
    }

    fn take_if(&mut self, kind: TokenKind) -> bool {
        let same = self.kind() == kind;
        if same {
            self.skip();
        }
        same
    }

    fn take_text(&mut self) -> String {
        let text = std::mem::take(&mut self.tokens[self.next].text).into_owned();
        self.skip();
        text
    }

    fn skip(&mut self) {
        // INVARIANT: the last token is `End` (lexer.rs), and we stay on it.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn kind(&self) -> TokenKind {
        self.tokens[self.next].kind
    }

    fn kind_after(&self) -> TokenKind {
        self.tokens.get(self.next + 1).map_or(TokenKind::End, |token| token.kind)
    }

    fn position(&self) -> Position {
        self.tokens[self.next].position
    }

    fn found(&self) -> Found {
        let Token { kind, text, position } = &self.tokens[self.next];
        match kind {
            TokenKind::End => Found::End,
            _ => Found::Token { text: lexer::one_line(text), position: *position },
        }
    }
}

fn one_or(mut clauses: Vec<Clause>, many: impl FnOnce(Vec<Clause>) -> Clause) -> Clause {
    match clauses.len() {
        1 => clauses.remove(0),
        _ => many(clauses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(text: &str) -> Terminal {
        match parse(text).unwrap() {
            Query { filter: Some(Clause::Terminal(terminal)), order_by } if order_by.is_empty() => terminal,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn empty_texts_are_empty_queries() {
        for text in ["", "  \n\t "] {
            assert_eq!(parse(text), Ok(Query { filter: None, order_by: Vec::new() }));
            assert_eq!(parse_strict(text), parse(text));
        }
    }

    #[test]
    fn bare_words_are_a_text_search_unless_parsed_strictly() {
        for (text, search) in [
            ("crash login", "crash login"),
            ("crash", "crash"),
            ("  crash \n 42  ", "crash 42"),
            ("ABC-12", "ABC-12"),
            (r#""out of memory" 'it\'s'"#, "out of memory it's"),
            (r#""and" or\ "#, "and or "),
        ] {
            assert_eq!(parse(text).unwrap().filter, Some(Clause::TextSearch(search.to_owned())), "{text}");
            assert!(parse_strict(text).is_err(), "{text}");
        }
        let ordered = parse("crash ORDER BY created").unwrap();
        assert_eq!((ordered.filter, ordered.order_by.len()), (Some(Clause::TextSearch("crash".to_owned())), 1));
    }

    #[test]
    fn one_operator_or_keyword_makes_it_jql() {
        // What a live site answers 200 to; the clause is for the evaluator to refuse.
        assert_eq!(terminal("this is not jql").operator, Operator::IsNot);
        for text in [
            "this is not valid jql",
            "crash and login",
            "crash when login",
            "crash (login)",
            "crash, login",
            "not crash",
            "crash = ",
            "crash order",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_operators_are_read_in_any_case() {
        for (text, operator) in [
            ("a = b", Operator::Equals),
            ("a != b", Operator::NotEquals),
            ("a ~ b", Operator::Like),
            ("a !~ b", Operator::NotLike),
            ("a < b", Operator::Less),
            ("a <= b", Operator::LessOrEqual),
            ("a > b", Operator::Greater),
            ("a >= b", Operator::GreaterOrEqual),
            ("a iN (b)", Operator::In),
            ("a Not In (b)", Operator::NotIn),
            ("a is empty", Operator::Is),
            ("a IS not nuLL", Operator::IsNot),
            ("a was b", Operator::Was),
            ("a was not b", Operator::WasNot),
            ("a was in (b)", Operator::WasIn),
            ("a was not in (b)", Operator::WasNotIn),
            ("a changed", Operator::Changed),
        ] {
            assert_eq!(terminal(text).operator, operator, "{text}");
        }
    }

    #[test]
    fn operands_are_told_apart() {
        let function = |name: &str, args: &[&str]| Value::Function {
            name: name.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        for (jql, operand) in [
            ("a = Done", Operand::Single(text("Done"))),
            ("a = 'In Progress'", Operand::Single(text("In Progress"))),
            ("a = \"\"", Operand::Single(text(""))),
            ("a = -1d", Operand::Single(text("-1d"))),
            ("a = 1.5", Operand::Single(text("1.5"))),
            ("a = 007", Operand::Single(Value::Number(7))),
            ("a = -5", Operand::Single(Value::Number(-5))),
            ("a = '5'", Operand::Single(text("5"))),
            ("a = Empty", Operand::Empty),
            ("a = 'empty'", Operand::Single(text("empty"))),
            ("a in (b)", Operand::List(vec![text("b")])),
            (
                "a in (b, 2, null, f())",
                Operand::List(vec![text("b"), Value::Number(2), Value::Empty, function("f", &[])]),
            ),
            ("a = ((b, c), ((d)))", Operand::List(vec![text("b"), text("c"), text("d")])),
            ("a in f(1, -2, 'x y', -1d)", Operand::Single(function("f", &["1", "-2", "x y", "-1d"]))),
            ("a = 'f' \n ()", Operand::Single(function("f", &[]))),
            ("a = 5()", Operand::Single(function("5", &[]))),
            ("a changed", Operand::Absent),
        ] {
            assert_eq!(terminal(jql).operand, operand, "{jql}");
        }
    }

    #[test]
    fn fields_are_told_apart() {
        let property = |key: &str, path: Option<&str>| Field::Property {
            owner: "issue.property".to_owned(),
            key: key.to_owned(),
            path: path.map(str::to_owned),
        };
        for (jql, field) in [
            ("Status = x", Field::Named("Status".to_owned())),
            ("\"Story points\" = x", Field::Named("Story points".to_owned())),
            ("'and' = x", Field::Named("and".to_owned())),
            ("12 = x", Field::Named("12".to_owned())),
            ("CF[10010] = x", Field::CustomId(10010)),
            ("cf [ 9223372036854775807 ] = x", Field::CustomId(i64::MAX.unsigned_abs())),
            ("issue.property[k] = x", property("k", None)),
            ("issue.property[\"spaces here\"].value = x", property("spaces here", Some("value"))),
            ("issue.property[5].a.b.5 = x", property("5", Some("a.b.5"))),
        ] {
            assert_eq!(terminal(jql).field, field, "{jql}");
            assert_eq!(
                parse(&format!("ORDER BY {}", jql.trim_end_matches(" = x"))).unwrap().order_by[0].field,
                field,
                "{jql}"
            );
        }
    }

    #[test]
    fn history_predicates_are_kept() {
        let changed =
            terminal("status CHANGED FROM Open TO (a, b) BY currentUser() AFTER -5d BEFORE x ON y DURING (c, d)");
        assert_eq!(
            changed.predicates.iter().map(|predicate| predicate.kind).collect::<Vec<_>>(),
            [
                PredicateKind::From,
                PredicateKind::To,
                PredicateKind::By,
                PredicateKind::After,
                PredicateKind::Before,
                PredicateKind::On,
                PredicateKind::During
            ]
        );
        assert_eq!(changed.predicates[3].operand, Operand::Single(text("-5d")));
        assert_eq!(changed.predicates[3].position, Position { line: 1, character: 53 });
        assert_eq!(terminal("status was Done by me").predicates.len(), 1);
    }

    #[test]
    fn and_binds_stronger_than_or_and_not_strongest() {
        let named = |name: &str| {
            Clause::Terminal(Terminal {
                position: terminal(&format!("{name} = 1")).position,
                ..terminal(&format!("{name} = 1"))
            })
        };
        let mut filter = parse("a = 1 or b = 1 and not c = 1 or ! (d = 1 | e = 1)").unwrap().filter.unwrap();
        testing::forget_positions(&mut filter);
        let not = |clause| Clause::Not(Box::new(clause));
        let mut expected = Clause::Or(vec![
            named("a"),
            Clause::And(vec![named("b"), not(named("c"))]),
            not(Clause::Or(vec![named("d"), named("e")])),
        ]);
        testing::forget_positions(&mut expected);
        assert_eq!(filter, expected);
    }

    #[test]
    fn positions_count_lines_and_utf16_units() {
        let Some(Clause::And(clauses)) = parse("'😀' = 1 and b = 2\n  and c = 3 order by\r\n d").unwrap().filter
        else {
            panic!()
        };
        let places = clauses.iter().map(|clause| match clause {
            Clause::Terminal(terminal) => (terminal.position.line, terminal.position.character),
            _ => panic!(),
        });
        assert_eq!(places.collect::<Vec<_>>(), [(1, 1), (1, 14), (2, 7)]);
    }

    #[test]
    fn order_by_keeps_an_unwritten_direction_open() {
        let orders = parse("project = A oRdEr \n bY created DESC, key asc, cf[1]").unwrap().order_by;
        assert_eq!(
            orders.iter().map(|order| order.direction).collect::<Vec<_>>(),
            [Some(Direction::Descending), Some(Direction::Ascending), None]
        );
        assert_eq!(parse("ORDER BY x").unwrap().filter, None);
    }

    /// Answers of live sites and of the functional tests of Jira's server; a few, marked ours, by analogy.
    #[test]
    fn mistakes_are_named_in_jiras_words() {
        const OPERATORS: &str =
            "The valid operators are '=', '!=', '<', '>', '<=', '>=', '~', '!~', 'IN', 'NOT IN', 'IS' and 'IS NOT'.";
        const OPERAND: &str = "Error in JQL Query: Expecting either a value, list or function";
        let operator =
            |got: &str, place: &str| format!("Expecting operator but got '{got}'. {OPERATORS} (line {place})");
        let operand = |got: &str, character: u32| {
            format!(
                "{OPERAND} but got '{got}'. You must surround '{got}' in quotation marks to use it as a value. (line 1, character {character})"
            )
        };
        let operand_at_end = || format!("{OPERAND} before the end of the query.");
        let field = |got: &str, character: u32| {
            format!(
                "Expecting a field name but got '{got}'. You must surround '{got}' in quotation marks to use it as a field name. (line 1, character {character})"
            )
        };
        let expected = |what: &str, got: &str, character: u32| {
            format!("Expecting {what} but got '{got}'. (line 1, character {character})")
        };
        let at_end = |what: &str| format!("Expecting {what} before the end of the query.");
        let number = |text: &str, character: u32| {
            format!(
                "'{text}' is not a valid number. Numbers must be between -9,223,372,036,854,775,808 and 9,223,372,036,854,775,807. (line 1, character {character})"
            )
        };
        const AND_OR: &str = "either 'OR' or 'AND'";
        const CF: &str = "a custom field id (a positive number)";
        const NO_FIELD: &str = "Expecting a field name at the end of the query.";
        for (text, message) in [
            // fields
            ("project = LAUNCH AND", NO_FIELD.to_owned()),
            ("foo=bar and not", NO_FIELD.to_owned()),
            ("not", NO_FIELD.to_owned()),
            ("(", NO_FIELD.to_owned()),
            (", a = b", field(",", 1)),
            ("!=", field("!=", 1)),
            ("and and", field("and", 1)),
            ("foo=bar and and", field("and", 13)),
            ("a=b and not not=b", field("=", 16)),
            ("by = 5", field("by", 1)),
            ("'' = c", "A field name cannot be empty. (line 1, character 1)".to_owned()),
            ("summary ~ bad and \n\\ ~ cool", "A field name cannot be empty. (line 2, character 1)".to_owned()),
            ("[brenden] = a", "Expecting a field name but got '['. Did you mean 'cf['? (line 1, character 1)".to_owned()),
            ("a = brenden and [78] = q", "Expecting a field name but got '['. Did you mean 'cf['? (line 1, character 17)".to_owned()),
            // custom fields and properties
            ("cf", at_end("'['")),
            ("a = b and not (cf = 6)", expected("'['", "=", 19)),
            ("cf[", at_end(CF)),
            ("cf[ = 9", expected(CF, "=", 5)),
            ("cf[] = 1", expected(CF, "]", 4)),
            ("cf[29829k] = ", expected(CF, "29829k", 4)),
            ("cf[-29829] = ", expected(CF, "-29829", 4)),
            ("cf[29829 = world", expected("']'", "=", 10)),
            ("cf[29829", at_end("']'")),
            ("cf[1002020202002020202020202020020202822]=a", number("1002020202002020202020202020020202822", 4)),
            ("issue.property[x = x", expected("']'", "=", 18)),
            (
                "issue.property[] = x",
                "Expecting a property id but got ']'. You must surround ']' in quotation marks to use it as a value. (line 1, character 16)".to_owned(),
            ),
            ("issue.property[x.1] unresolved = b", operator("unresolved", "1, character 21")),
            // operators
            ("invalid query", operator("query", "1, character 9")),
            ("a", format!("Expecting operator before the end of the query. {OPERATORS}")),
            ("a blah >", operator("blah", "1, character 3")),
            ("foo=bar and \n78foo brenden and a=b", operator("brenden", "2, character 7")),
            ("cf1234] = x", operator("]", "1, character 7")),
            ("pri ! in (test)", operator("!", "1, character 5")),
            ("a =a and j not is empty", expected("'IN'", "is", 16)),
            ("a not was \"Open\"", expected("'IN'", "was", 7)),
            ("a =a and j is ! empty", expected("'NOT'", "!", 15)),
            // operands
            ("project =", operand_at_end()),
            ("issue IN ", operand_at_end()),
            ("a was", operand_at_end()),
            ("a=(a,", operand_at_end()),
            ("a=!", operand("!", 3)),
            ("project = LAUNCH AND status = = Done", operand("=", 31)),
            ("project = OR", operand("OR", 11)),
            ("project = )", operand(")", 11)),
            ("a=(a,(,bad))", operand(",", 7)),
            ("a in ()", operand(")", 7)),
            ("aaaaa=-3482094382084092840932809482", number("-3482094382084092840932809482", 7)),
            ("b in ((12, (288)", at_end("')'")),
            ("abc IN ((foo) abc = a", expected("')'", "abc", 15)),
            // functions
            ("a = ''()", "A function name cannot be empty. (line 1, character 5)".to_owned()),
            ("a = \\ \n()", "A function name cannot be empty. (line 1, character 5)".to_owned()),
            ("a = func(", at_end("')'")),
            ("a = func(, and not (a = x)", expected("')'", ",", 10)),
            ("b=func(bad", at_end("')'")),
            ("bas=func(bad,)", "Function argument must be specified. (line 1, character 14)".to_owned()),
            ("bas=func(bad,", "Expecting a function argument at the end of the query.".to_owned()),
            (
                "k = func(!",
                "Expecting a function argument but got '!'. You must surround '!' in quotation marks to use it as an argument. (line 1, character 10)".to_owned(),
            ),
            ("k = func(abc, jk!)", expected("')' or ','", "!", 17)),
            // between and after clauses
            ("project = LAUNCH status", expected(AND_OR, "status", 18)),
            ("a=b !c=d", expected(AND_OR, "!", 5)),
            ("a=b not a=b", expected(AND_OR, "not", 5)),
            ("a=b,b", expected(AND_OR, ",", 4)),
            ("abc in (foo))", expected(AND_OR, ")", 13)),
            ("comment !~ \"brenden\" jack = jill", expected(AND_OR, "jack", 22)),
            ("this is not valid jql", expected(AND_OR, "jql", 19)),
            ("s was (fred, bob) at '10:55'", expected(AND_OR, "at", 19)),
            ("project = LAUNCH AND (status = Done", at_end("')'")),
            ("a=b or (c=d and not l ~ kate", at_end("')'")),
            ("(a=b c=d)", expected("')'", "c", 6)),
            // order
            ("a =b order", at_end("'by'")),
            ("a =b order summary", expected("'by'", "summary", 12)),
            ("a =b order by", NO_FIELD.to_owned()),
            ("a = b order BY abc desc,", NO_FIELD.to_owned()),
            ("a =b order by asc", field("asc", 15)),
            ("a =b order by ajsks blah", expected("either 'ASC' or 'DESC'", "blah", 21)),
            ("order BY abc \"ASC\"", expected("either 'ASC' or 'DESC'", "ASC", 14)),
            ("a =b order by \"\" desc", "A field name cannot be empty. (line 1, character 15)".to_owned()),
            ("order by a desc d", expected("','", "d", 17)),
            // history
            (
                "status = \"Open\" by admin",
                "The EQUALS operator does not support the use of the by \"admin\" predicate. (line 1, character 17)".to_owned(), // the place is ours
            ),
            (
                "fixVersion changed 4 by \"x y\"",
                "The CHANGED operator does not support the use of values without predicates. You must prefix the \"4\" value with a suitable predicate. (line 1, character 20)"
                    .to_owned(), // quotes and place are ours
            ),
        ] {
            let message = if message.starts_with("Error in") { message } else { format!("Error in the JQL Query: {message}") };
            assert_eq!(parse_strict(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn nesting_over_the_bound_is_refused_and_at_the_bound_read() {
        let clause =
            |open: &str, close: &str, levels: usize| format!("{}a = 1{}", open.repeat(levels), close.repeat(levels));
        for (open, close) in [("(", ")"), ("!", ""), ("not ", ""), ("not(", ")")] {
            let levels = if open == "not(" { DEPTH_MAX / 2 } else { DEPTH_MAX };
            assert!(parse(&clause(open, close, levels)).is_ok(), "{open}");
            assert!(matches!(parse(&clause(open, close, levels + 1)), Err(ParseError::TooDeep { .. })), "{open}");
            assert!(matches!(parse(&clause(open, close, 15_000)), Err(ParseError::TooDeep { .. })), "{open}");
        }
        let list = |levels: usize| format!("a in {}1{}", "(".repeat(levels), ")".repeat(levels));
        assert!(parse(&list(DEPTH_MAX)).is_ok());
        assert!(matches!(parse(&list(DEPTH_MAX + 1)), Err(ParseError::TooDeep { .. })));
        assert!(parse(&vec![list(DEPTH_MAX); 3].join(" and ")).is_ok(), "levels side by side do not add up");
    }

    #[test]
    fn counts_over_the_bounds_are_refused_and_at_the_bounds_read() {
        let clauses = |count: usize| vec!["a = 1"; count].join(" OR ");
        assert!(parse(&clauses(CLAUSES_MAX)).is_ok());
        assert!(matches!(parse(&clauses(CLAUSES_MAX + 1)), Err(ParseError::TooManyClauses { .. })));
        let values = |count: usize| vec!["1"; count].join(",");
        assert!(parse(&format!("a in ({})", values(LIST_VALUES_MAX))).is_ok());
        assert!(matches!(
            parse(&format!("a in (1, ({}))", values(LIST_VALUES_MAX))),
            Err(ParseError::ListTooLong { .. })
        ));
        assert!(parse(&format!("a = f({})", values(LIST_VALUES_MAX))).is_ok());
        assert!(matches!(
            parse(&format!("a = f({})", values(LIST_VALUES_MAX + 1))),
            Err(ParseError::ListTooLong { .. })
        ));
        let lists = |count: usize| {
            format!("{} and b = 1", vec![format!("a in ({})", values(LIST_VALUES_MAX)); count].join(" and "))
        };
        assert!(parse(&lists(QUERY_VALUES_MAX / LIST_VALUES_MAX - 1)).is_ok());
        assert!(matches!(parse(&lists(QUERY_VALUES_MAX / LIST_VALUES_MAX)), Err(ParseError::TooManyValues { .. })));
        assert!(parse(&format!("order by {}", values(ORDER_FIELDS_MAX))).is_ok());
        assert!(matches!(
            parse(&format!("order by {}", values(ORDER_FIELDS_MAX + 1))),
            Err(ParseError::TooManyOrderFields { .. })
        ));
    }

    mod properties {
        use proptest::collection::vec;
        use proptest::option;
        use proptest::prelude::*;

        use super::super::*;
        use super::testing;

        /// Texts made of what means something to the parser, so that most of them come further than the first token.
        fn jql_like() -> impl Strategy<Value = String> {
            let piece = prop_oneof![
                4 => proptest::sample::select(vec![
                    "a", "status", "-1d", "5", "'x y'", "\"", "'", "\\", "\\u0041", "(", ")", "[", "]", ",", "=", "!=", "~", "!", "<", ">=", "&", "||", "cf[1]", "in", "not", "is",
                    "was", "changed", "by", "after", "empty", "and", "or", "order", "order by", "desc", "\n", "😀", "select", "{", "a = b", "f(x)",
                ]).prop_map(str::to_owned),
                1 => any::<String>(),
            ];
            vec((piece, proptest::sample::select(vec!["", " "])), 0..30)
                .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, space)| [piece, space.to_owned()]).collect())
        }

        fn any_text() -> impl Strategy<Value = String> {
            prop_oneof![
                any::<String>(),
                "[a-z]{1,8}",
                "-?[0-9]{1,3}",
                proptest::sample::select(lexer::KEYWORDS).prop_map(str::to_owned),
                r#"[\\"' \n\r\t{}.a]{0,6}"#
            ]
        }

        fn any_name() -> impl Strategy<Value = String> {
            any_text().prop_filter("names are not blank", |name| !name.trim().is_empty())
        }

        fn any_field() -> impl Strategy<Value = Field> {
            let path = option::of(any_name().prop_filter("one dot is its first", |path| !path.starts_with('.')));
            prop_oneof![
                4 => any_name().prop_map(Field::Named),
                1 => (0..=i64::MAX.unsigned_abs()).prop_map(Field::CustomId),
                1 => (any_name(), any_text(), path).prop_map(|(owner, key, path)| Field::Property { owner, key, path }),
            ]
        }

        fn any_value() -> impl Strategy<Value = Value> {
            prop_oneof![
                4 => any_text().prop_map(Value::Text),
                1 => any::<i64>().prop_map(Value::Number),
                1 => (any_name(), vec(any_text(), 0..3)).prop_map(|(name, args)| Value::Function { name, args }),
            ]
        }

        fn any_operand() -> impl Strategy<Value = Operand> {
            prop_oneof![
                4 => any_value().prop_map(Operand::Single),
                2 => vec(prop_oneof![4 => any_value(), 1 => Just(Value::Empty)], 1..4).prop_map(Operand::List),
                1 => Just(Operand::Empty),
            ]
        }

        fn any_terminal() -> impl Strategy<Value = Terminal> {
            use Operator::*;
            let operators = vec![
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
            ];
            let kinds = vec![
                PredicateKind::After,
                PredicateKind::Before,
                PredicateKind::By,
                PredicateKind::During,
                PredicateKind::From,
                PredicateKind::On,
                PredicateKind::To,
            ];
            let predicate = (proptest::sample::select(kinds), any_operand()).prop_map(|(kind, operand)| Predicate {
                kind,
                operand,
                position: testing::NOWHERE,
            });
            (any_field(), proptest::sample::select(operators), any_operand(), vec(predicate, 0..3)).prop_map(
                |(field, operator, operand, predicates)| Terminal {
                    field,
                    operator,
                    operand: if operator == Changed { Operand::Absent } else { operand },
                    predicates: if operator.is_history() { predicates } else { Vec::new() },
                    position: testing::NOWHERE,
                },
            )
        }

        fn any_clause() -> impl Strategy<Value = Clause> {
            any_terminal().prop_map(Clause::Terminal).prop_recursive(4, 16, 3, |clause| {
                prop_oneof![
                    vec(clause.clone(), 2..4).prop_map(Clause::And),
                    vec(clause.clone(), 2..4).prop_map(Clause::Or),
                    clause.prop_map(|clause| Clause::Not(Box::new(clause))),
                ]
            })
        }

        fn any_query() -> impl Strategy<Value = Query> {
            let directions = vec![None, Some(Direction::Ascending), Some(Direction::Descending)];
            let order = (any_field(), proptest::sample::select(directions)).prop_map(|(field, direction)| Order {
                field,
                direction,
                position: testing::NOWHERE,
            });
            let filter = option::of(prop_oneof![4 => any_clause(), 1 => any_name().prop_map(Clause::TextSearch)]);
            (filter, vec(order, 0..3)).prop_map(|(filter, order_by)| Query { filter, order_by })
        }

        fn without_positions(mut query: Query) -> Query {
            query.filter.iter_mut().for_each(testing::forget_positions);
            query.order_by.iter_mut().for_each(|order| order.position = testing::NOWHERE);
            query
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn no_text_makes_the_parser_panic(text in prop_oneof![any::<String>(), jql_like()]) {
                for parsed in [parse(&text), parse_strict(&text)] {
                    match parsed {
                        Ok(query) => prop_assert_eq!(without_positions(parse(&query.to_string()).unwrap()), without_positions(query)),
                        Err(error) => prop_assert!(error.to_string().starts_with("Error in ")),
                    }
                }
            }

            #[test]
            fn what_is_printed_reads_back_as_the_same_query(query in any_query()) {
                let printed = query.to_string();
                let parsed = parse(&printed).map(without_positions);
                prop_assert_eq!(parsed.as_ref(), Ok(&query), "{}", printed);
                prop_assert_eq!(parsed.unwrap().to_string(), printed, "printing is canonical");
            }

            #[test]
            fn a_quoted_value_is_that_value_wherever_it_stands(value in any_text()) {
                let jql = format!("a = {0} AND b IN ({0},{0}) AND c = f({0},{0}) ORDER BY d", super::super::super::quote_value(&value));
                let Some(Clause::And(clauses)) = parse(&jql).unwrap().filter else { panic!("{jql}") };
                let Clause::Terminal(first) = &clauses[0] else { panic!("{jql}") };
                prop_assert_eq!(&first.operand, &Operand::Single(Value::Text(value)));
            }
        }
    }

    mod testing {
        use super::super::*;

        pub(super) const NOWHERE: Position = Position { line: 0, character: 0 };

        pub(super) fn forget_positions(clause: &mut Clause) {
            match clause {
                Clause::And(clauses) | Clause::Or(clauses) => clauses.iter_mut().for_each(forget_positions),
                Clause::Not(clause) => forget_positions(clause),
                Clause::Terminal(terminal) => {
                    terminal.position = NOWHERE;
                    terminal.predicates.iter_mut().for_each(|predicate| predicate.position = NOWHERE);
                }
                Clause::TextSearch(_) => {}
            }
        }
    }
}
