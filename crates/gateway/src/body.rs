//! Bodies: bounded in bytes and time, parsed by their declared type.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use portcullis_guard::{Body, Part};

/// Parts of one upload.
const PARTS_MAX: usize = 60;

/// Why a body was not taken.
pub(crate) enum BadBody {
    /// Larger than the bound.
    TooLarge,
    /// Not sent in time, or cut off.
    Interrupted,
    /// Not what it says it is; a sentence for the caller.
    Unreadable(String),
}

/// Reads at most `bytes_max` bytes within `timeout`.
pub(crate) async fn read<B>(body: B, bytes_max: usize, timeout: Duration) -> Result<Bytes, BadBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(BadBody::TooLarge),
        Ok(Err(_)) | Err(_) => Err(BadBody::Interrupted),
    }
}

/// How deep JSON may nest; serde_json's own bound is 128 and keeps the stack safe.
pub(crate) fn json(bytes: &Bytes) -> Result<Body, BadBody> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Body::Empty);
    }
    match serde_json::from_slice(bytes) {
        Ok(json) if holds_nul(&json) => Err(BadBody::Unreadable(NUL.to_owned())),
        Ok(json) => Ok(Body::Json(json)),
        Err(error) => Err(BadBody::Unreadable(format!(
            "There was an error parsing JSON. Check that your request body is valid. (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

/// No text of ours holds this character, and no database takes it.
pub(crate) const NUL: &str = "The request holds the character U+0000, which no text may hold.";

fn holds_nul(json: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match json {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(holds_nul),
        Json::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// A posted form.
pub(crate) fn form(bytes: &Bytes) -> Result<Body, BadBody> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadBody::Unreadable("The form is not UTF-8.".to_owned()))?;
    let fields = crate::head::pairs(text);
    if fields.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(BadBody::Unreadable(NUL.to_owned()));
    }
    Ok(Body::Form(fields))
}

/// A multipart upload.
pub(crate) async fn multipart(bytes: Bytes, content_type: &str) -> Result<Body, BadBody> {
    let unreadable = || BadBody::Unreadable("The multipart body could not be read.".to_owned());
    let boundary = multer::parse_boundary(content_type).map_err(|_| unreadable())?;
    let stream = futures_once(bytes);
    let mut multipart = multer::Multipart::new(stream, boundary);
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(|_| unreadable())? {
        if parts.len() == PARTS_MAX {
            return Err(BadBody::Unreadable(format!("More than {PARTS_MAX} parts in one upload.")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        let content = field.bytes().await.map_err(|_| unreadable())?.to_vec();
        parts.push(Part { name, file_name, content_type, content });
    }
    Ok(Body::Multipart(parts))
}

/// A stream of one item, which is all that multer needs of us.
fn futures_once(bytes: Bytes) -> impl futures_core::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    struct Once(Option<Bytes>);
    impl futures_core::Stream for Once {
        type Item = Result<Bytes, std::convert::Infallible>;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.take().map(Ok))
        }
    }
    Once(Some(bytes))
}
