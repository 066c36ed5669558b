//! Values to and from PostgreSQL's types, and its errors to ours.

use std::{error::Error, sync::Arc};

use bytes::{BufMut as _, BytesMut};
use deadpool_postgres::tokio_postgres::{
    self, Statement,
    error::{DbError, SqlState},
    types::{FromSql, IsNull, ToSql, Type},
};

use crate::{EngineError, Row, StoreError, Value};

type BoxedError = Box<dyn Error + Sync + Send>;

/// Checks before sending that each value suits the type that PostgreSQL inferred for its placeholder.
pub(super) fn check_types(values: &[Value], types: &[Type]) -> Result<(), StoreError> {
    for (at, (value, ty)) in values.iter().zip(types).enumerate() {
        let fits = match value {
            Value::Null => true,
            Value::Int(int) => match *ty {
                Type::INT8 | Type::NUMERIC => true,
                Type::INT4 => i32::try_from(*int).is_ok(),
                Type::INT2 => i16::try_from(*int).is_ok(),
                _ => false,
            },
            Value::Text(_) => matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME),
            Value::Bytes(_) => *ty == Type::BYTEA,
        };
        if !fits {
            let given = match value {
                Value::Null => "null",
                Value::Int(_) => "an integer",
                Value::Text(_) => "text",
                Value::Bytes(_) => "bytes",
            };
            let why = format!(
                "it is {given} (or too large), and PostgreSQL inferred {ty}; write CAST($n AS ..) if that is wrong"
            );
            return Err(StoreError::Bind { number: at + 1, why });
        }
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Int(int) => match *ty {
                Type::INT8 => out.put_i64(*int),
                Type::INT4 => out.put_i32(i32::try_from(*int)?),
                Type::INT2 => out.put_i16(i16::try_from(*int)?),
                Type::NUMERIC => put_numeric(*int, out),
                _ => return Err(format!("an integer cannot be sent as {ty}").into()),
            },
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // The check needs the value: `check_types`.
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A number as base-10000 digits: how many, weight of the first, sign, scale, digits.
fn put_numeric(int: i64, out: &mut BytesMut) {
    let mut rest = int.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 {
        // Below 10,000: fits.
        digits.push((rest % 10_000) as i16);
        rest /= 10_000;
    }
    let count = digits.len() as i16; // at most 5
    out.put_i16(count);
    out.put_i16((count - 1).max(0));
    out.put_i16(if int < 0 { 0x4000 } else { 0 });
    out.put_i16(0);
    for digit in digits.into_iter().rev() {
        out.put_i16(digit);
    }
}

pub(super) fn rows(statement: &Statement, rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, StoreError> {
    let columns: Arc<[String]> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    rows.iter()
        .map(|row| {
            let read = |(at, column): (usize, &String)| {
                let value = row.try_get::<_, Column>(at).map_err(|_| StoreError::Column {
                    column: column.clone(),
                    problem: "has a type other than integer, text and bytes",
                });
                value.map(|Column(value)| value)
            };
            let values: Result<Vec<Value>, StoreError> = columns.iter().enumerate().map(read).collect();
            Ok(Row::new(columns.clone(), values?))
        })
        .collect()
}

struct Column(Value);

impl<'a> FromSql<'a> for Column {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        Ok(Self(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => bool::from_sql(ty, raw)?.into(),
            Type::NUMERIC => Value::Int(whole_number(raw).ok_or("not a whole number of 64 bits")?),
            Type::BYTEA => Value::Bytes(raw.to_owned()),
            _ => Value::Text(str::from_utf8(raw)?.to_owned()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxedError> {
        Ok(Self(Value::Null))
    }

    /// `NUMERIC` is what `sum` makes of integers; SQLite's `sum` gives an integer.
    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT8
                | Type::INT4
                | Type::INT2
                | Type::BOOL
                | Type::NUMERIC
                | Type::BYTEA
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
        )
    }
}

fn whole_number(raw: &[u8]) -> Option<i64> {
    let words: Vec<i16> =
        raw.chunks_exact(2).map(|pair| pair.try_into().map(i16::from_be_bytes)).collect::<Result<_, _>>().ok()?;
    let [_count, weight, sign, _scale, digits @ ..] = words.as_slice() else {
        return None;
    };
    let weight = usize::try_from(*weight).ok().filter(|weight| *weight <= 4).or(if digits.is_empty() {
        Some(0)
    } else {
        None
    })?;
    if digits.len() > weight + 1 {
        return None; // digits after the decimal point
    }
    let mut number: i128 = 0;
    for at in 0..=weight {
        number = number * 10_000 + i128::from(digits.get(at).copied().unwrap_or(0));
    }
    match *sign {
        0 => i64::try_from(number).ok(),
        0x4000 => i64::try_from(-number).ok(),
        _ => None,
    }
}

/// Names an error. `DETAIL` holds values of the row and is never kept.
pub(super) fn engine_error(error: &tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(db) => db_error(db),
        None if error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) => {
            StoreError::Unavailable(EngineError::new(without_db_error(error)))
        }
        None => StoreError::Engine(EngineError::new(without_db_error(error))),
    }
}

/// As [`engine_error`], for what is sent with `COMMIT`: when the server did not answer, nobody knows.
pub(super) fn commit_error(error: &tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        // Refusals that can come only before the commit took place. 57P01 and the like can come during it.
        Some(db) if db.code().code().starts_with("40") || db.code().code().starts_with("23") => db_error(db),
        Some(db) => StoreError::CommitUnknown(words(db)),
        None => StoreError::CommitUnknown(EngineError::new(without_db_error(error))),
    }
}

fn db_error(db: &DbError) -> StoreError {
    let code = db.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        return StoreError::Unique { constraint: unique_constraint(db) };
    }
    if *code == SqlState::FOREIGN_KEY_VIOLATION {
        return StoreError::ForeignKey;
    }
    match code.code() {
        code if code.starts_with("23") => {
            let names = [db.table(), db.column(), db.constraint()].into_iter().flatten().collect::<Vec<_>>().join(".");
            StoreError::Constraint { constraint: names }
        }
        // Serialization failure, deadlock.
        "40001" | "40P01" => StoreError::Conflict,
        // `RAISE` in one of our triggers.
        "P0001" => StoreError::Refused { reason: db.message().to_owned() },
        // Lock timeout; too many connections.
        "55P03" | "53300" => StoreError::Busy,
        // The server is starting, stopping or was stopped; connection failures.
        "57P01" | "57P02" | "57P03" | "25P03" => StoreError::Unavailable(words(db)),
        code if code.starts_with("08") => StoreError::Unavailable(words(db)),
        _ => StoreError::Engine(words(db)),
    }
}

/// SQLite's words for a unique constraint, so that a caller can tell them apart in one way: `table.column, table.column`, or
/// `index 'name'` for an index over expressions.
fn unique_constraint(db: &DbError) -> String {
    let name = db.constraint().unwrap_or_default();
    // "Key (project_id, number)=(1, 2) already exists."
    let columns =
        db.detail().and_then(|detail| detail.strip_prefix("Key (")?.split_once(")=(")).map(|(columns, _)| columns);
    match (db.table(), columns) {
        (Some(table), Some(columns)) if !columns.contains('(') => {
            columns.split(", ").map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ")
        }
        _ => format!("index '{name}'"),
    }
}

fn words(db: &DbError) -> EngineError {
    EngineError::new(format!("{} {}", db.code().code(), db.message()))
}

/// The driver's words with their sources; it came from no server, so it holds no row.
fn without_db_error(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
