//! What is known of a request while it is answered.

use portcullis_model::Surface;

/// What is known of a request while it is answered; feeds the headers and the log line.
pub(crate) struct Trail {
    pub(crate) request_id: String,
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) accept: Option<String>,
    pub(crate) operation: &'static str,
    pub(crate) access: &'static str,
    pub(crate) account_id: Option<String>,
    pub(crate) failed_login: bool,
    pub(crate) decision: Option<String>,
    pub(crate) reason: &'static str,
    pub(crate) surface: Surface,
    pub(crate) query: Option<String>,
    /// The origin whose pages may read the answer (CORS).
    pub(crate) readable_by: Option<String>,
    pub(crate) remaining: Option<(u32, u32)>,
}
