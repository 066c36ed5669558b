//! One statement: bound by number, stepped, its errors named.

use std::sync::Arc;

use rusqlite::{
    CachedStatement, Connection, ErrorCode, Statement, ToSql,
    ffi::{
        SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_TRIGGER,
        SQLITE_CONSTRAINT_UNIQUE,
    },
    types::{ToSqlOutput, ValueRef},
};

use crate::{EngineError, Row, Sql, StoreError, Value, sql::Collation};

pub(super) fn query(
    connection: &Connection,
    collation: &Collation,
    sql: &Sql,
    values: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let text = collation.text(sql);
    let mut statement = Prepared::new(connection, &text, sql.is_one_off())?;
    let statement = statement.get();
    bind(statement, values)?;
    let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(|error| engine_error(&error))? {
        let mut values = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            values.push(read(row.get_ref(at).map_err(|error| engine_error(&error))?, column)?);
        }
        found.push(Row::new(columns.clone(), values));
    }
    Ok(found)
}

pub(super) fn execute(
    connection: &Connection,
    collation: &Collation,
    sql: &Sql,
    values: &[Value],
) -> Result<u64, StoreError> {
    let text = collation.text(sql);
    let mut statement = Prepared::new(connection, &text, sql.is_one_off())?;
    let statement = statement.get();
    bind(statement, values)?;
    if statement.column_count() == 0 {
        let changed = statement.raw_execute().map_err(|error| engine_error(&error))?;
        return Ok(changed.try_into().unwrap_or(u64::MAX));
    }
    // `RETURNING`: the rows have to be stepped through, their content is not wanted.
    let mut rows = statement.raw_query();
    while rows.next().map_err(|error| engine_error(&error))?.is_some() {}
    drop(rows);
    Ok(connection.changes())
}

/// Begin, commit, savepoint and the like.
pub(super) fn control(connection: &Connection, sql: &'static str) -> Result<(), StoreError> {
    let run = || connection.prepare_cached(sql)?.raw_execute();
    run().map(drop).map_err(|error| engine_error(&error))
}

/// The policy head; opens the transaction's view of the database.
pub(super) fn head(connection: &Connection) -> Result<i64, StoreError> {
    let run = || connection.prepare_cached("SELECT revision FROM policy_head")?.query_row((), |row| row.get(0));
    run().map_err(|error| engine_error(&error))
}

/// Names an error. SQLite's messages hold names of tables and columns, never values.
pub(super) fn engine_error(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return StoreError::Engine(EngineError::new(error.to_string()));
    };
    let text = message.as_deref().unwrap_or_default();
    // "UNIQUE constraint failed: issue.project_id, issue.number"
    let constraint = || text.split_once(": ").map_or(text, |(_, names)| names).to_owned();
    match (code.code, code.extended_code) {
        (
            ErrorCode::ConstraintViolation,
            SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_ROWID,
        ) => StoreError::Unique { constraint: constraint() },
        (ErrorCode::ConstraintViolation, SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::ForeignKey,
        (ErrorCode::ConstraintViolation, SQLITE_CONSTRAINT_TRIGGER) => StoreError::Refused { reason: text.to_owned() },
        (ErrorCode::ConstraintViolation, _) => StoreError::Constraint { constraint: constraint() },
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Busy,
        _ => StoreError::Engine(EngineError::new(error.to_string())),
    }
}

enum Prepared<'c> {
    Cached(CachedStatement<'c>),
    OneOff(Statement<'c>),
}

impl<'c> Prepared<'c> {
    fn new(connection: &'c Connection, text: &str, one_off: bool) -> Result<Self, StoreError> {
        let prepared = if one_off {
            connection.prepare(text).map(Self::OneOff)
        } else {
            connection.prepare_cached(text).map(Self::Cached)
        };
        prepared.map_err(|error| engine_error(&error))
    }

    fn get(&mut self) -> &mut Statement<'c> {
        match self {
            Self::Cached(statement) => statement,
            Self::OneOff(statement) => statement,
        }
    }
}

/// SQLite numbers `$n` by first appearance (`$2, $1` are its parameters 1 and 2), so the number is taken from the name.
fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<(), StoreError> {
    let expected = statement.parameter_count();
    let mismatch = || StoreError::Parameters { expected, given: values.len() };
    // Names are distinct; with as many names as values, each in range, every value is used.
    if expected != values.len() {
        return Err(mismatch());
    }
    for index in 1..=expected {
        let number = statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?)).ok_or_else(mismatch)?;
        statement.raw_bind_parameter(index, value).map_err(|error| engine_error(&error))?;
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read(value: ValueRef<'_>, column: &str) -> Result<Value, StoreError> {
    let problem = |problem| StoreError::Column { column: column.to_owned(), problem };
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(int) => Ok(Value::Int(int)),
        ValueRef::Text(text) => {
            let text = str::from_utf8(text).map_err(|_| problem("is not UTF-8"))?;
            Ok(Value::Text(text.to_owned()))
        }
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_owned())),
        ValueRef::Real(_) => Err(problem("is a floating-point number")),
    }
}
