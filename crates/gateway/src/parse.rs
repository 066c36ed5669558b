//! The doors of this crate for text from the network, in the open so that fuzzing reaches them.

use bytes::Bytes;
use portcullis_guard::Body;

/// A path in its plain form; `None` for one that would change when normalised further.
pub fn path(text: &str) -> Option<String> {
    crate::routes::normalise(text)
}

/// Pairs of a query or a posted form.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    crate::head::pairs(text)
}

/// A JSON body; `None` when it is none.
pub fn json(bytes: &[u8]) -> Option<Body> {
    crate::body::json(&Bytes::copy_from_slice(bytes)).ok()
}

/// A posted form; `None` when it is not UTF-8.
pub fn form(bytes: &[u8]) -> Option<Body> {
    crate::body::form(&Bytes::copy_from_slice(bytes)).ok()
}
