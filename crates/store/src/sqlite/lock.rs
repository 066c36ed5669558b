use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Held while a process has the database open: its memory is exact only if nobody else writes. The kernel releases it when the
/// process ends, however it ends, so the file itself may stay.
pub(super) struct LockFile {
    _file: File,
}

impl LockFile {
    pub(super) fn acquire(database: &Path) -> Result<Self, StoreError> {
        let path = with_suffix(database, ".lock");
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|source| StoreError::Io { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
        }
    }
}

/// `data.db` and `-wal` make `data.db-wal`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
