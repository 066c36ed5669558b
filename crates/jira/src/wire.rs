//! Shapes that many answers share: users, moments, pages, `self` links.

use jiff::Timestamp;
use jiff::tz::Offset;
use portcullis_guard::{AnyMode, Input, SqlBuilder, StoreError, Tx};
use portcullis_model::{Problem, UserId};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;

/// `2026-07-01T12:34:56.789+0000`: Jira writes the zone without a colon.
pub fn moment(ms: i64) -> String {
    let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = Offset::UTC.to_datetime(timestamp);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+0000",
        date.year(),
        date.month(),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        date.subsec_nanosecond() / 1_000_000
    )
}

/// Reads a moment as clients send it: RFC 3339, or Jira's form with a zone without a colon. Milliseconds since 1970.
pub fn parse_moment(text: &str) -> Option<i64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let zone_at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
    let (head, zone) = text.split_at(zone_at);
    if zone.len() != 5 {
        return None;
    }
    let with_colon = format!("{head}{}:{}", zone.get(..3)?, zone.get(3..)?);
    with_colon.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Whether the text is a date as Jira writes it, `2026-07-01`.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// What a user object shows.
#[derive(Clone, Debug)]
pub struct Person {
    /// Internal id.
    pub id: UserId,
    /// The id on the wire.
    pub account_id: String,
    /// `atlassian` or `app`.
    pub account_type: &'static str,
    /// E-mail, where it may be shown.
    pub email: Option<String>,
    /// The name people see.
    pub display_name: String,
    /// Not deactivated.
    pub active: bool,
    /// IANA zone.
    pub time_zone: String,
    /// Locale, as `en_US`.
    pub locale: String,
}

const PERSON_COLUMNS: &str =
    "SELECT id, account_id, kind, email, display_name, active, time_zone, locale FROM account_user WHERE id IN ";

fn person_of(row: &portcullis_guard::Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: UserId(row.get("id")?),
        account_id: row.get("account_id")?,
        account_type: if row.get::<String>("kind")? == "app" { "app" } else { "atlassian" },
        email: row.get("email")?,
        display_name: row.get("display_name")?,
        active: row.get("active")?,
        time_zone: row.get("time_zone")?,
        locale: row.get("locale")?,
    })
}

/// The people with these ids; unknown ids are absent.
///
/// # Errors
/// The database's.
pub async fn people<M: AnyMode>(tx: &mut Tx<M>, ids: &[UserId]) -> Result<HashMap<UserId, Person>, StoreError> {
    let mut wanted: Vec<i64> = ids.iter().map(|id| id.0).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new(PERSON_COLUMNS);
    sql.ids(&wanted);
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| person_of(row).map(|person| (person.id, person))).collect()
}

/// One person.
///
/// # Errors
/// The database's.
pub async fn person<M: AnyMode>(tx: &mut Tx<M>, id: UserId) -> Result<Option<Person>, StoreError> {
    Ok(people(tx, &[id]).await?.remove(&id))
}

/// The avatar links of a user, served by us.
pub fn avatar_urls(base_url: &str) -> Json {
    let url = |size: &str| format!("{base_url}/static/avatar-{size}.svg");
    json!({"48x48": url("48"), "24x24": url("24"), "16x16": url("16"), "32x32": url("32")})
}

impl Person {
    /// The user object, as it stands in issues, comments, roles and lists.
    pub fn json(&self, input: &Input) -> Json {
        let mut out = Map::new();
        let link = input.api_url(&format!("/user?accountId={}", encode_query(&self.account_id)));
        out.insert("self".into(), link.into());
        out.insert("accountId".into(), self.account_id.clone().into());
        if let Some(email) = self.email.as_ref().filter(|_| input.shows_emails()) {
            out.insert("emailAddress".into(), email.clone().into());
        }
        out.insert("avatarUrls".into(), avatar_urls(input.base_url()));
        out.insert("displayName".into(), self.display_name.clone().into());
        out.insert("active".into(), self.active.into());
        out.insert("timeZone".into(), self.time_zone.clone().into());
        out.insert("accountType".into(), self.account_type.into());
        Json::Object(out)
    }
}

/// The user object of an id that may be nobody: `null` then.
pub fn person_json(people: &HashMap<UserId, Person>, id: Option<UserId>, input: &Input) -> Json {
    id.and_then(|id| people.get(&id)).map_or(Json::Null, |person| person.json(input))
}

/// Percent-encodes what may stand in a query value.
pub fn encode_query(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// `startAt` and `maxResults` as the server takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Items to skip.
    pub start_at: i64,
    /// Items on the page.
    pub max_results: i64,
}

impl Paging {
    /// Reads both from the query: negative `startAt` is 0, `maxResults` below 1 is 1 and is capped at `cap`.
    ///
    /// # Errors
    /// 400 for what is no number.
    pub fn of(input: &Input, default: i64, cap: i64) -> Result<Self, Problem> {
        let start_at = input.query_int("startAt")?.unwrap_or(0).max(0);
        let max_results = input.query_int("maxResults")?.unwrap_or(default).clamp(1, cap);
        Ok(Self { start_at, max_results })
    }

    /// The page of a list that is already in memory and already filtered.
    pub fn cut<T>(self, items: Vec<T>) -> Vec<T> {
        let skip = usize::try_from(self.start_at).unwrap_or(usize::MAX);
        let take = usize::try_from(self.max_results).unwrap_or(0);
        items.into_iter().skip(skip).take(take).collect()
    }

    /// The envelope `{self, startAt, maxResults, total, isLast, <member>: [...], nextPage?}`. `path` is below `/rest/api/N` and may
    /// hold a query.
    pub fn page(self, input: &Input, path: &str, member: &str, total: i64, items: Vec<Json>) -> Json {
        let shown = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let is_last = self.start_at.saturating_add(shown) >= total;
        let joint = if path.contains('?') { '&' } else { '?' };
        let link =
            |start_at: i64| input.api_url(&format!("{path}{joint}maxResults={}&startAt={start_at}", self.max_results));
        let mut out = Map::new();
        out.insert("self".into(), link(self.start_at).into());
        if !is_last {
            out.insert("nextPage".into(), link(self.start_at.saturating_add(self.max_results)).into());
        }
        out.insert("maxResults".into(), self.max_results.into());
        out.insert("startAt".into(), self.start_at.into());
        out.insert("total".into(), total.into());
        out.insert("isLast".into(), is_last.into());
        out.insert(member.to_owned(), Json::Array(items));
        Json::Object(out)
    }
}

/// Reads a flag of a body as Jira does: `true`, or the text "true", which one client sends.
///
/// # Errors
/// For anything that is no flag.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Option::<Json>::deserialize(deserializer)? {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Bool(flag)) => Ok(Some(flag)),
        Some(Json::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(Json::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(_) => Err(serde::de::Error::custom("not a flag")),
    }
}

/// Whether a comma-separated `expand` (or repeated parameter) names `what`.
pub fn expands(input: &Input, what: &str) -> bool {
    input.query_list("expand").contains(&what)
}

#[cfg(test)]
mod tests {
    use super::{moment, parse_moment};

    #[test]
    fn moments_read_back_in_both_spellings() {
        let text = moment(1_751_373_296_789);
        assert_eq!(text, "2025-07-01T12:34:56.789+0000");
        assert_eq!(parse_moment(&text), Some(1_751_373_296_789));
        assert_eq!(parse_moment("2025-07-01T14:34:56.789+02:00"), Some(1_751_373_296_789));
        assert_eq!(parse_moment("yesterday"), None);
    }
}
