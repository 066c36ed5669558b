//! Comments: read in pages, one by one and by ids; written, changed, deleted.
//!
//! A restricted comment exists for those inside its restriction only. Comments are not in an issue's changelog, as in Jira.

mod item;
mod properties;
mod read;
mod text;
mod write;

pub(crate) use properties::{Property, properties_of, remove_properties, store_properties};
pub(crate) use read::{one_json, page, projects_of_issues};
pub(crate) use text::{TEXT_CHARS_MAX, html_of, read_text, shown_text};
pub(crate) use write::{NewComment, insert};

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(read::list);
    handlers.on(read::get);
    handlers.on(read::by_ids);
    handlers.on(write::add);
    handlers.on(write::update);
    handlers.on(write::delete);
}
