//! A parsed request as `locate` and the handlers see it: no headers, no cookies, no unparsed body.

use std::sync::Arc;

use portcullis_model::{AccessKind, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::caller::Caller;

/// The version in the path decides how rich text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// `/rest/api/2` and `/rest/api/latest`: wiki markup.
    V2,
    /// `/rest/api/3`: ADF.
    V3,
}

impl ApiVersion {
    /// The segment in `self` links.
    pub const fn segment(self) -> &'static str {
        match self {
            ApiVersion::V2 => "2",
            ApiVersion::V3 => "3",
        }
    }
}

/// One part of a multipart body.
#[derive(Clone, Debug)]
pub struct Part {
    /// The form field's name.
    pub name: String,
    /// The file name, for a file.
    pub file_name: Option<String>,
    /// The declared type, for a file.
    pub content_type: Option<String>,
    /// The content.
    pub content: Vec<u8>,
}

/// A bounded, parsed body.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// None was sent.
    #[default]
    Empty,
    /// JSON.
    Json(Json),
    /// A posted form.
    Form(Vec<(String, String)>),
    /// A multipart upload.
    Multipart(Vec<Part>),
    /// Bytes of any type.
    Bytes(Vec<u8>),
}

/// What is kept of a request that is handed on to somebody: the only handlers that see headers are those that relay them.
#[derive(Clone, Debug, Default)]
pub struct Relayed {
    /// The method, as sent.
    pub method: String,
    /// The headers, names in lower case. No cookie and no credential of ours is among them.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug)]
struct Parts {
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Body,
    version: ApiVersion,
    base_url: String,
    relayed: Relayed,
}

/// The input of an operation. Cheap to clone, so that a handler can be run again after a conflict.
#[derive(Clone, Debug)]
pub struct Input {
    parts: Arc<Parts>,
    /// Whether the answer goes to somebody who is known.
    is_for_account: bool,
}

impl Input {
    /// Puts together what the edge has parsed. `base_url` has no slash at its end.
    pub fn new(
        params: Vec<(String, String)>,
        query: Vec<(String, String)>,
        body: Body,
        version: ApiVersion,
        base_url: String,
    ) -> Self {
        let relayed = Relayed::default();
        Self { parts: Arc::new(Parts { params, query, body, version, base_url, relayed }), is_for_account: false }
    }

    /// The same, with what a relay hands on. Only before it is shared.
    #[must_use]
    pub fn relaying(mut self, relayed: Relayed) -> Self {
        if let Some(parts) = Arc::get_mut(&mut self.parts) {
            parts.relayed = relayed;
        }
        self
    }

    /// What a relay hands on; empty in every other operation.
    pub fn relayed(&self) -> &Relayed {
        &self.parts.relayed
    }

    /// The same, known to come from this caller.
    pub(crate) fn by(&self, caller: &Caller) -> Self {
        Self { parts: Arc::clone(&self.parts), is_for_account: caller.access() != AccessKind::Anonymous }
    }

    /// Whether answers may show e-mail addresses: nobody anonymous sees any.
    pub fn shows_emails(&self) -> bool {
        self.is_for_account
    }

    /// A path parameter; empty when the path has no such parameter.
    pub fn param(&self, name: &str) -> &str {
        first(&self.parts.params, name).unwrap_or("")
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        first(&self.parts.query, name)
    }

    /// Every value of a query parameter that may be repeated or hold a comma-separated list.
    pub fn query_list<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.query_all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Every value of a repeated query parameter, as sent.
    pub fn query_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parts.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A query parameter that is an integer.
    ///
    /// # Errors
    /// Jira's words for a value that is none, status 400.
    pub fn query_int(&self, name: &str) -> Result<Option<i64>, Problem> {
        match self.query(name) {
            None | Some("") => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Problem::invalid(format!("Failed to convert '{name}' with value: '{text}'"))),
            },
        }
    }

    /// A query parameter that is `true` or `false`.
    ///
    /// # Errors
    /// As [`Input::query_int`].
    pub fn query_bool(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.query(name) {
            None | Some("") => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(Problem::invalid(format!("Failed to convert '{name}' with value: '{text}'"))),
        }
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.parts.body
    }

    /// The JSON body; `null` when there is none.
    pub fn json(&self) -> &Json {
        match &self.parts.body {
            Body::Json(json) => json,
            Body::Empty | Body::Form(_) | Body::Multipart(_) | Body::Bytes(_) => &Json::Null,
        }
    }

    /// The JSON body as a type.
    ///
    /// # Errors
    /// Jira's words for an empty body or one of the wrong shape, status 400.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if let Body::Empty = self.parts.body {
            return Err(Problem::invalid("No content to map to Object due to end of input"));
        }
        T::deserialize(self.json()).map_err(|_| {
            Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again.")
        })
    }

    /// A field of a posted form.
    pub fn form(&self, name: &str) -> Option<&str> {
        match &self.parts.body {
            Body::Form(fields) => first(fields, name),
            Body::Empty | Body::Json(_) | Body::Multipart(_) | Body::Bytes(_) => None,
        }
    }

    /// The fields of a posted form.
    pub fn fields(&self) -> &[(String, String)] {
        match &self.parts.body {
            Body::Form(fields) => fields,
            Body::Empty | Body::Json(_) | Body::Multipart(_) | Body::Bytes(_) => &[],
        }
    }

    /// The parameters of the query.
    pub fn query_pairs(&self) -> &[(String, String)] {
        &self.parts.query
    }

    /// Which version of the API was called.
    pub fn version(&self) -> ApiVersion {
        self.parts.version
    }

    /// Where `self` links start, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.parts.base_url
    }

    /// `{base}/rest/api/{version}{path}`.
    pub fn api_url(&self, path: &str) -> String {
        format!("{}/rest/api/{}{path}", self.parts.base_url, self.parts.version.segment())
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
