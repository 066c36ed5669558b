//! What a handler answers, before it has a wire shape.

use serde_json::Value as Json;

/// The body of a [`Reply`].
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyBody {
    /// None.
    Empty,
    /// JSON.
    Json(Json),
    /// A page.
    Html(String),
    /// Plain text of a given type.
    Text(&'static str, String),
    /// A text of somebody else, with headers of theirs.
    Relayed {
        /// The type they say it has.
        content_type: String,
        /// Names in lower case; what is no header is left out.
        headers: Vec<(String, String)>,
        /// The content.
        text: String,
    },
    /// Bytes of a type the uploader named, offered as a download of that name.
    Bytes {
        /// The declared type.
        content_type: String,
        /// The name to save it under.
        file_name: String,
        /// The content.
        content: Vec<u8>,
    },
}

/// Status, headers and body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Extra headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: ReplyBody,
}

impl Reply {
    /// 200 with JSON.
    pub fn json(body: Json) -> Self {
        Self { status: 200, headers: Vec::new(), body: ReplyBody::Json(body) }
    }

    /// 201 with JSON.
    pub fn created(body: Json) -> Self {
        Self { status: 201, headers: Vec::new(), body: ReplyBody::Json(body) }
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: ReplyBody::Empty }
    }

    /// A status without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::Empty }
    }

    /// 200 with a page.
    pub fn html(page: String) -> Self {
        Self { status: 200, headers: Vec::new(), body: ReplyBody::Html(page) }
    }

    /// 303 to another address.
    pub fn see_other(location: impl Into<String>) -> Self {
        Self { status: 303, headers: vec![("location", location.into())], body: ReplyBody::Empty }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
