//! Work logged on issues, and what it does to their time tracking.
//!
//! A restricted worklog exists for those inside its restriction only. The changelog tells them alone of it, and what it tells others
//! of the time spent does not count it. The remaining estimate is one number for everyone, which a restricted worklog moves too.

mod estimate;
mod feed;
mod item;
mod read;
mod write;

pub(crate) use estimate::Adjust;
pub(crate) use item::one_json;
pub(crate) use read::page;
pub(crate) use write::{NewWorklog, insert};

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(read::list);
    handlers.on(read::get);
    handlers.on(read::by_ids);
    handlers.on(feed::modified);
    handlers.on(feed::deleted);
    handlers.on(write::add);
    handlers.on(write::update);
    handlers.on(write::delete);
}
