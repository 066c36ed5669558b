//! What went wrong with an allowed request, without any wire shape.

use std::fmt;

/// The kind of a [`Problem`]; the edge turns it into a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The input is wrong (400).
    Invalid,
    /// The thing is not there, or not visible (404).
    NotFound,
    /// The caller may see the thing but not do this to it (403); for rules on single fields.
    Forbidden,
    /// It clashes with what is there (409).
    Conflict,
    /// It was there once (410).
    Gone,
    /// It is too large (413).
    TooLarge,
    /// Too many attempts (429).
    TooMany,
    /// Not built (501).
    NotImplemented,
    /// A dependency is away (503).
    Unavailable,
    /// Our fault (500).
    Bug,
}

/// An error of a domain operation: public words, optionally per field, and a private cause for the log.
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// Public sentences about the whole request.
    pub messages: Vec<String>,
    /// Public sentences per field.
    pub fields: Vec<(String, String)>,
    /// A status that Jira uses for this very case instead of the kind's usual one.
    pub status: Option<u16>,
    /// For the operator's log only.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Problem {
    /// A problem with one public sentence.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, messages: vec![message.into()], fields: Vec::new(), status: None, cause: None }
    }

    /// 400 with one sentence.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Invalid, message)
    }

    /// 400 about one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let fields = vec![(field.into(), message.into())];
        Self { kind: ProblemKind::Invalid, messages: Vec::new(), fields, status: None, cause: None }
    }

    /// 400 about several fields.
    pub fn fields(fields: Vec<(String, String)>) -> Self {
        Self { kind: ProblemKind::Invalid, messages: Vec::new(), fields, status: None, cause: None }
    }

    /// 404 with one sentence.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, message)
    }

    /// 403 with one sentence.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Forbidden, message)
    }

    /// 409 with one sentence.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, message)
    }

    /// 501: the operation, or this part of it, is not built.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotImplemented, message)
    }

    /// 500 that tells the outside nothing and the log everything.
    pub fn bug(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: ProblemKind::Bug,
            messages: Vec::new(),
            fields: Vec::new(),
            status: None,
            cause: Some(cause.into()),
        }
    }

    /// All that the caller is told, as one text, for a page or a field that has room for one.
    ///
    /// # Errors
    /// The problem itself, when its cause is for the operator's log and it has no words for the caller.
    pub fn into_words(self) -> Result<String, Problem> {
        if self.cause.is_some() {
            return Err(self);
        }
        let fields = self.fields.into_iter().map(|(_, words)| words);
        Ok(self.messages.into_iter().chain(fields).collect::<Vec<_>>().join(" "))
    }

    /// The same problem answered with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("kind", &self.kind)
            .field("messages", &self.messages)
            .field("fields", &self.fields)
            .field("status", &self.status)
            .field("cause", &self.cause)
            .finish()
    }
}
