use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{StoreError, Value};

/// SQL text that contains no input: a constant, or what [`SqlBuilder`] made of constants.
#[derive(Clone, Debug)]
pub struct Sql {
    text: Text,
    params: Vec<Value>,
    /// One of very many texts (it holds ids): not worth a place among the prepared statements.
    one_off: bool,
}

#[derive(Clone, Debug)]
enum Text {
    Constant(&'static str),
    Built(String),
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { text: Text::Constant(text), params: Vec::new(), one_off: false }
    }
}

impl From<SqlBuilder> for Sql {
    fn from(builder: SqlBuilder) -> Self {
        Self { text: Text::Built(builder.text), params: builder.params, one_off: builder.one_off }
    }
}

impl Sql {
    pub(crate) fn is_one_off(&self) -> bool {
        self.one_off
    }

    /// The values to bind: those built in, or those given beside a constant.
    pub(crate) fn values<'a>(&'a self, given: &'a [Value]) -> Result<&'a [Value], StoreError> {
        let values = match &self.text {
            Text::Constant(_) => given,
            Text::Built(_) if given.is_empty() => &self.params,
            Text::Built(_) => {
                return Err(StoreError::Parameters {
                    expected: self.params.len(),
                    given: self.params.len() + given.len(),
                });
            }
        };
        // PostgreSQL cannot store it and SQLite's own functions stop at it.
        let nul = values.iter().position(|value| matches!(value, Value::Text(text) if text.contains('\0')));
        nul.map_or(Ok(values), |at| {
            Err(StoreError::Bind { number: at + 1, why: "text holds a NUL character".to_owned() })
        })
    }
}

/// Composes SQL from constants and bound values, for searches whose shape depends on the question.
///
/// ```
/// # use portcullis_store::{Sql, SqlBuilder};
/// let mut sql = SqlBuilder::new("SELECT id FROM issue WHERE project_id IN ");
/// sql.ids(&[10, 11]).push(" AND status = ").bind("Open").push(" ORDER BY id LIMIT ").bind(50);
/// let sql: Sql = sql.into();
/// ```
///
/// Text that was computed cannot become SQL:
/// ```compile_fail
/// # use portcullis_store::SqlBuilder;
/// let name = String::from("x' OR 1=1");
/// SqlBuilder::new("SELECT ").push(&name);
/// ```
#[derive(Debug)]
pub struct SqlBuilder {
    text: String,
    params: Vec<Value>,
    one_off: bool,
}

impl SqlBuilder {
    /// Starts with this text.
    pub fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), params: Vec::new(), one_off: false }
    }

    /// Appends constant text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends the next placeholder and keeps its value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.params.push(value.into());
        write_to(&mut self.text, format_args!("${}", self.params.len()));
        self
    }

    /// Appends a list for `IN`: `(1,2,3)`, or `(NULL)` when there are no ids, which matches nothing (also under `NOT IN`).
    pub fn ids(&mut self, ids: &[i64]) -> &mut Self {
        self.one_off = true;
        self.text.push('(');
        for (at, id) in ids.iter().enumerate() {
            write_to(&mut self.text, format_args!("{}{id}", if at == 0 { "" } else { "," }));
        }
        self.text.push_str(if ids.is_empty() { "NULL)" } else { ")" });
        self
    }
}

fn write_to(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("invariant: writing to a String cannot fail");
}

/// Replaces `{{c}}` for one engine. Constants are rewritten once and kept: there are as many as the program has.
pub(crate) struct Collation {
    replacement: &'static str,
    rewritten: RwLock<HashMap<(usize, usize), Arc<str>>>,
}

const COLLATION_TOKEN: &str = "{{c}}";

impl Collation {
    pub(crate) fn new(replacement: &'static str) -> Self {
        Self { replacement, rewritten: RwLock::default() }
    }

    pub(crate) fn text<'a>(&self, sql: &'a Sql) -> EngineText<'a> {
        match &sql.text {
            Text::Constant(text) if !text.contains(COLLATION_TOKEN) => EngineText::Plain(Cow::Borrowed(text)),
            Text::Built(text) if !text.contains(COLLATION_TOKEN) => EngineText::Plain(Cow::Borrowed(text)),
            Text::Built(text) => EngineText::Plain(Cow::Owned(text.replace(COLLATION_TOKEN, self.replacement))),
            Text::Constant(text) => EngineText::Shared(self.rewritten_constant(text)),
        }
    }

    fn rewritten_constant(&self, text: &'static str) -> Arc<str> {
        // A `'static` text never moves or dies, so its place identifies it.
        let place = (text.as_ptr() as usize, text.len());
        if let Some(found) = self.rewritten.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return found.clone();
        }
        let text: Arc<str> = text.replace(COLLATION_TOKEN, self.replacement).into();
        self.rewritten.write().unwrap_or_else(PoisonError::into_inner).insert(place, text.clone());
        text
    }
}

pub(crate) enum EngineText<'a> {
    Plain(Cow<'a, str>),
    Shared(Arc<str>),
}

impl std::ops::Deref for EngineText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Shared(text) => text,
        }
    }
}
