//! Bodies: bounded in bytes and time, parsed by their declared type.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use portcullis_guard::{Body, Caller, Part};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Parts of one upload.
const PARTS_MAX: usize = 60;

/// Why a body was not taken.
pub(crate) enum BadBody {
    /// Larger than the bound.
    TooLarge,
    /// Not sent in time, or cut off.
    Interrupted,
    /// Other bodies take all the room there is.
    NoRoom,
    /// Not what it says it is; a sentence for the caller.
    Unreadable(String),
}

/// Bodies up to this size are read without asking for room; as many as there are connections fit into memory.
const SMALL_BYTES: usize = 16 << 10;
/// Room is taken in steps.
const STEP_BYTES: usize = 64 << 10;

/// Room for the bodies that are in memory at once. Strangers have their own, so that what they send takes none from those who have
/// proven to be someone.
pub(crate) struct Room {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let of = |bytes: usize| Arc::new(Semaphore::new(bytes / STEP_BYTES));
        Self { strangers: of(48 << 20), known: of(512 << 20) }
    }
}

impl Room {
    pub(crate) fn of(&self, caller: &Caller) -> &Arc<Semaphore> {
        if caller.user().is_some() { &self.known } else { &self.strangers }
    }
}

/// A body, and the room that it takes until the request is answered.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Reads at most `bytes_max` bytes within `timeout`.
pub(crate) async fn read<B>(
    body: B,
    bytes_max: usize,
    timeout: Duration,
    room: &Arc<Semaphore>,
) -> Result<Held, BadBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    tokio::time::timeout(timeout, gather(body, bytes_max, room)).await.unwrap_or(Err(BadBody::Interrupted))
}

async fn gather<B>(body: B, bytes_max: usize, room: &Arc<Semaphore>) -> Result<Held, BadBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(Limited::new(body, bytes_max));
    let mut all = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => BadBody::TooLarge,
            false => BadBody::Interrupted,
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let needed = (all.len() + data.len()).saturating_sub(SMALL_BYTES).div_ceil(STEP_BYTES);
        let missing = needed.saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if missing > 0 {
            let steps = u32::try_from(missing).unwrap_or(u32::MAX);
            let more = Arc::clone(room).try_acquire_many_owned(steps).map_err(|_| BadBody::NoRoom)?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
        }
        all.extend_from_slice(&data);
    }
    Ok(Held { bytes: all.into(), room: held })
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

/// The parameters of an OAuth 2.0 request as JSON: one object of texts. Each pair is kept, so that a name that stands twice is seen.
pub(crate) fn parameters(bytes: &Bytes) -> Result<Body, BadBody> {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object whose members are texts")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut out = Vec::new();
            while let Some(member) = members.next_entry::<String, String>()? {
                out.push(member);
            }
            Ok(out)
        }
    }
    let unreadable = |error: serde_json::Error| {
        BadBody::Unreadable(format!(
            "The body has to be a JSON object whose members are texts (line {}, column {}).",
            error.line(),
            error.column()
        ))
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let fields = serde::Deserializer::deserialize_map(&mut reader, Pairs).map_err(unreadable)?;
    reader.end().map_err(unreadable)?;
    if fields.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(BadBody::Unreadable(NUL.to_owned()));
    }
    Ok(Body::Form(fields))
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
