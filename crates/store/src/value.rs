use std::sync::Arc;

use crate::StoreError;

/// What can be bound and what comes back: nothing that the two engines treat differently.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// A 64-bit integer; also booleans (0, 1) and times (milliseconds since 1970).
    Int(i64),
    /// UTF-8 text without NUL characters.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<usize> for Value {
    /// Numbers beyond `i64::MAX` become `i64::MAX`: a `usize` is a count or a limit here, never an id.
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of a result; columns are found by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The column's value.
    ///
    /// # Errors
    /// [`StoreError::Column`] when there is no such column or it holds another type (a null is another type than `i64`, not
    /// than `Option<i64>`).
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, StoreError> {
        let problem = |problem| StoreError::Column { column: column.to_owned(), problem };
        let value = self.columns.iter().zip(&self.values).find(|(name, _)| *name == column).map(|(_, value)| value);
        T::from_value(value.ok_or_else(|| problem("no such column"))?).map_err(problem)
    }

    pub(crate) fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }
}

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// Reads the value, or says in words what is wrong (without the value).
    ///
    /// # Errors
    /// The reason, as a fixed text.
    fn from_value(value: &Value) -> Result<Self, &'static str>;
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        Ok(value.clone())
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::Int(int) => Ok(*int),
            Value::Null => Err("is null, expected an integer"),
            Value::Text(_) | Value::Bytes(_) => Err("expected an integer"),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            Value::Null => Err("is null, expected 0 or 1"),
            Value::Int(_) | Value::Text(_) | Value::Bytes(_) => Err("expected 0 or 1"),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            Value::Null => Err("is null, expected text"),
            Value::Int(_) | Value::Bytes(_) => Err("expected text"),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            Value::Null => Err("is null, expected bytes"),
            Value::Int(_) | Value::Text(_) => Err("expected bytes"),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}
