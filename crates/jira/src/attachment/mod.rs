//! Files attached to issues: uploaded, described, downloaded, removed.
//!
//! An attachment of a restricted comment is restricted as the comment is. Content is served by ourselves, as a download, with the right
//! checked at every request: there is no file store whose links could outlive a right. `redirect` is therefore of no effect.

mod item;
mod read;
mod write;

pub(crate) use item::one_json;
pub(crate) use read::of_issues;

use portcullis_guard::Handlers;

/// Largest file, in bytes; what `GET /attachment/meta` tells.
pub const FILE_BYTES_MAX: usize = 20 << 20;
/// Files on one issue; Jira's limit.
pub(crate) const PER_ISSUE_MAX: i64 = 2_000;
/// Files in one upload; Jira's limit.
const FILES_MAX: usize = 60;

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(read::meta);
    handlers.on(read::get);
    handlers.on(read::content);
    handlers.on(read::file);
    handlers.on(write::add);
    handlers.on(write::remove);
}
