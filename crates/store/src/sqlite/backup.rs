use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    applied, check_ours, create_private,
    lock::{LockFile, with_suffix},
    statement::engine_error,
};
use crate::{EngineError, StoreError, migrations};

/// Whether [`restore`] may replace a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// The database that is there is set aside as `<path>.replaced` (with its `-wal` and `-shm`), over an earlier one.
    Yes,
    /// [`StoreError::Exists`] when a database is there.
    No,
}

/// Puts a backup made by [`crate::Store::backup`] in place of the SQLite database at `to`, which no process may have open.
///
/// The copy is checked before it takes the name: the engine's integrity check, foreign keys, that it is ours, and that this
/// program knows its schema version. An older schema is migrated when the store is opened.
///
/// # Errors
/// [`StoreError::BadBackup`], [`StoreError::NotOurs`] or [`StoreError::NewerSchema`] when the backup does not pass;
/// [`StoreError::Locked`] or [`StoreError::Exists`] when the target is in the way. The target is untouched then.
pub fn restore(backup: &Path, to: &Path, overwrite: Overwrite) -> Result<(), StoreError> {
    // Through a link to the file itself, as `Store::open` does: else another lock would be taken.
    let to = &fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let _lock = LockFile::acquire(to)?;
    if overwrite == Overwrite::No && to.exists() {
        return Err(StoreError::Exists { path: to.clone() });
    }
    let log = with_suffix(backup, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let why = "it is a live database: its newest changes are in the `-wal` file beside it".to_owned();
        return Err(StoreError::BadBackup { path: backup.to_owned(), why });
    }
    let copy = with_suffix(to, ".restoring");
    remove_with_logs(&copy)?;
    let result = copy_and_check(backup, &copy).and_then(|()| install(&copy, to));
    if result.is_err() {
        // The first error counts; a leftover copy is removed by the next attempt.
        let _ = remove_with_logs(&copy);
    }
    result
}

fn copy_and_check(backup: &Path, copy: &Path) -> Result<(), StoreError> {
    create_private(copy)?;
    let mut from = File::open(backup).map_err(io(backup))?;
    let mut into = File::options().write(true).open(copy).map_err(io(copy))?;
    std::io::copy(&mut from, &mut into).map_err(io(copy))?;
    into.sync_all().map_err(io(copy))?;
    check(copy, backup)
}

/// Checks a copy; complaints name the file that it was copied from.
fn check(copy: &Path, backup: &Path) -> Result<(), StoreError> {
    let bad = |why: String| StoreError::BadBackup { path: backup.to_owned(), why };
    let connection = open(copy).map_err(|error| bad(error.to_string()))?;
    let texts = |sql: &str| -> rusqlite::Result<Vec<String>> {
        connection.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
    };
    let found = texts("PRAGMA integrity_check").map_err(|error| bad(error.to_string()))?;
    if found != ["ok"] {
        return Err(bad(found.join("; ")));
    }
    if check_ours(&connection, backup)? {
        return Err(bad("it is empty".to_owned()));
    }
    let orphans = texts("SELECT \"table\" FROM pragma_foreign_key_check").map_err(|error| bad(error.to_string()))?;
    if let Some(table) = orphans.first() {
        return Err(bad(format!("table {table} refers to rows that are missing")));
    }
    migrations::pending(&applied(&connection)?).map(drop)
}

fn install(copy: &Path, to: &Path) -> Result<(), StoreError> {
    // The main file goes first: between the steps there is a log without a database, which SQLite discards. The other way
    // round there would be a database without its log, which looks whole and is not.
    for suffix in ["", "-wal", "-shm"] {
        let old = with_suffix(to, suffix);
        if old.exists() {
            fs::rename(&old, with_suffix(to, &format!(".replaced{suffix}"))).map_err(io(&old))?;
        }
    }
    fs::rename(copy, to).map_err(io(to))?;
    sync_folder(to)
}

/// Writes a consistent copy of a SQLite database, also while another process has it open.
///
/// # Errors
/// [`StoreError::Exists`] when `to` is the database itself; else what the engine and the file system report.
pub fn backup_file(database: &Path, to: &Path) -> Result<(), StoreError> {
    if fs::canonicalize(to).is_ok_and(|to| fs::canonicalize(database).is_ok_and(|from| from == to)) {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    copy(database, to)
}

/// Copies the live database into a new file, in one step: a step sees one state and, in WAL mode, holds up no writer.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let unfinished = with_suffix(to, ".unfinished");
    remove_with_logs(&unfinished)?;
    let result = copy_all(from, &unfinished).and_then(|()| {
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io(&unfinished))?;
        fs::rename(&unfinished, to).map_err(io(to))?;
        sync_folder(to)
    });
    if result.is_err() {
        // The first error counts; a leftover is removed by the next attempt.
        let _ = remove_with_logs(&unfinished);
    }
    result
}

fn copy_all(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_private(to)?;
    let from = open(from).map_err(|error| engine_error(&error))?;
    let mut into = open(to).map_err(|error| engine_error(&error))?;
    let step =
        Backup::new(&from, &mut into).and_then(|backup| backup.step(-1)).map_err(|error| engine_error(&error))?;
    match step {
        StepResult::Done => {}
        StepResult::Busy | StepResult::Locked => return Err(StoreError::Busy),
        _ => return Err(StoreError::Engine(EngineError::new("the copy is not complete"))),
    }
    into.close().map_err(|(_, error)| engine_error(&error))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(super::WAIT_MAX)?;
    Ok(connection)
}

fn remove_with_logs(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = with_suffix(path, suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the new name itself durable.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io(&folder))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + use<'_> {
    |source| StoreError::Io { path: path.to_owned(), source }
}
