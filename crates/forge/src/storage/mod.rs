//! What apps keep: values by key, secrets, and entities that can be queried. Each installation has its own, sealed with a key of its
//! own; which one is meant comes from the caller that the guard made, never from what was sent.
//!
//! The wire is that of `@forge/kvs`. A refused call changes nothing; only a batch may do part of its work, and says which.

mod query;

use portcullis_authz::{Operation, op};
use portcullis_crypto::{ExposeSecret, Purpose, SealingKeys};
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, OpMode, Outcome, Read, Reply, Row, Tx, View, Write};
use portcullis_model::{ForgeInstallationId, Problem};
use serde_json::{Map, Value as Json, json};

use crate::install;
use crate::wire::moment;
use query::{entity_query, holds, query};

/// Where the operations are.
pub const PATH: &str = "/forge/storage/kvs/v1";

const VALUE: Purpose = Purpose::new("forge value");

const KEY_CHARS_MAX: usize = 500;
const VALUE_BYTES_MAX: usize = 240 << 10;
const DEPTH_MAX: usize = 31;
const BATCH_MAX: usize = 25;
const BATCH_BYTES_MAX: usize = 4 << 20;
const TTL_MS_MAX: i64 = 366 * 86_400_000;

const KVS: &str = "kvs";
const SECRET: &str = "secret";

/// An error in the words that the packages know.
pub(crate) struct Refused {
    status: u16,
    code: &'static str,
    message: String,
}

pub(crate) enum Failed {
    Refused(Refused),
    Problem(Problem),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Failed::Problem(problem)
    }
}

impl From<portcullis_guard::StoreError> for Failed {
    fn from(error: portcullis_guard::StoreError) -> Self {
        Failed::Problem(error.into())
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Problem(problem) => problem,
            Failed::Refused(refused) => Problem::invalid(refused.message),
        }
    }
}

fn refused(status: u16, code: &'static str, message: impl Into<String>) -> Failed {
    Failed::Refused(Refused { status, code, message: message.into() })
}

pub(crate) type Kept<T> = Result<T, Failed>;

/// What one installation keeps.
pub(crate) struct Store {
    installation: ForgeInstallationId,
    keys: SealingKeys,
    now_ms: i64,
}

impl Store {
    pub(crate) async fn open<M: AnyMode>(tx: &mut Tx<M>, view: &View) -> Kept<Self> {
        let installation = view.caller().forge_installation().ok_or_else(|| Problem::bug("no Forge app asks"))?;
        let keys = install::data_keys(tx, view, installation).await?;
        let keys = keys.ok_or_else(|| Problem::bug("the keys of an installation are gone"))?;
        Ok(Self { installation, keys, now_ms: view.now().0 })
    }

    fn bound_to(&self, store: &str, key: &str) -> Vec<u8> {
        format!("{}\0{store}\0{key}", self.installation.0).into_bytes()
    }

    fn read(&self, store: &str, row: &Row) -> Kept<Entry> {
        let key: String = row.get("key")?;
        let sealed: Vec<u8> = row.get("value")?;
        let opened = self.keys.open(&sealed, VALUE, &self.bound_to(store, &key)).map_err(Problem::bug)?;
        let value = serde_json::from_slice(opened.expose_secret()).map_err(Problem::bug)?;
        let (created_at_ms, updated_at_ms) = (row.get("created_at_ms")?, row.get("updated_at_ms")?);
        Ok(Entry { value, created_at_ms, updated_at_ms, expires_at_ms: row.get("expires_at_ms")?, key })
    }

    pub(crate) async fn get<M: AnyMode>(&self, tx: &mut Tx<M>, store: &str, key: &str) -> Kept<Option<Entry>> {
        let sql = "SELECT key, value, created_at_ms, updated_at_ms, expires_at_ms FROM forge_value
                   WHERE installation = $1 AND store = $2 AND key = $3 AND (expires_at_ms IS NULL OR expires_at_ms > $4)";
        let params = [self.installation.0.into(), store.into(), key.into(), self.now_ms.into()];
        tx.query_opt(sql, &params).await?.map(|row| self.read(store, &row)).transpose()
    }

    /// Every value of a store, by key.
    pub(crate) async fn all<M: AnyMode>(&self, tx: &mut Tx<M>, store: &str) -> Kept<Vec<Entry>> {
        let sql = "SELECT key, value, created_at_ms, updated_at_ms, expires_at_ms FROM forge_value
                   WHERE installation = $1 AND store = $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3) ORDER BY key";
        let rows = tx.query(sql, &[self.installation.0.into(), store.into(), self.now_ms.into()]).await?;
        rows.iter().map(|row| self.read(store, row)).collect()
    }

    pub(crate) async fn put(&self, tx: &mut Tx<Write>, view: &View, put: &Put) -> Kept<()> {
        let text = put.value.to_string();
        let bound_to = self.bound_to(&put.store, &put.key);
        let sealed = self.keys.seal(text.as_bytes(), VALUE, &bound_to, view.entropy()).map_err(Problem::bug)?;
        let bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
        // A value whose time is over is as if it were not there, though it may still be.
        let sql = "INSERT INTO forge_value (installation, store, key, value, bytes, created_at_ms, updated_at_ms, expires_at_ms)
                   VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
                   ON CONFLICT (installation, store, key) DO UPDATE SET value = $4, bytes = $5, updated_at_ms = $6, expires_at_ms = $7";
        let params = [
            self.installation.0.into(),
            put.store.as_str().into(),
            put.key.as_str().into(),
            sealed.into(),
            bytes.into(),
            self.now_ms.into(),
            put.ttl_ms.map(|ttl_ms| self.now_ms + ttl_ms).into(),
        ];
        tx.execute(sql, &params).await?;
        Ok(())
    }

    pub(crate) async fn remove(&self, tx: &mut Tx<Write>, store: &str, key: &str) -> Kept<()> {
        let sql = "DELETE FROM forge_value WHERE installation = $1 AND store = $2 AND key = $3";
        tx.execute(sql, &[self.installation.0.into(), store.into(), key.into()]).await?;
        Ok(())
    }
}

pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Json,
    created_at_ms: i64,
    updated_at_ms: i64,
    expires_at_ms: Option<i64>,
}

impl Entry {
    fn json(&self, options: &Json) -> Json {
        let mut out = json!({"key": self.key, "value": self.value});
        let wanted =
            options.get("metadataFields").or_else(|| options.get("returnMetadataFields")).and_then(Json::as_array);
        for field in wanted.into_iter().flatten().filter_map(Json::as_str) {
            let Some(object) = out.as_object_mut() else { continue };
            match field {
                "CREATED_AT" => object.insert("createdAt".to_owned(), self.created_at_ms.into()),
                "UPDATED_AT" => object.insert("updatedAt".to_owned(), self.updated_at_ms.into()),
                "EXPIRE_TIME" => object.insert("expireTime".to_owned(), self.expires_at_ms.map(moment).into()),
                _ => None,
            };
        }
        out
    }
}

/// A value to keep, checked.
pub(crate) struct Put {
    store: String,
    key: String,
    value: Json,
    ttl_ms: Option<i64>,
    /// Only if there is none.
    only_new: bool,
    options: Json,
}

impl Put {
    /// A value without more to it.
    pub(crate) fn plain(store: &str, key: String, value: Json) -> Self {
        Self { store: store.to_owned(), key, value, ttl_ms: None, only_new: false, options: Json::Null }
    }
}

/// Which store an item is in: the operation says whether it is a secret, the item whether it is an entity.
fn store_of(item: &Json, secret: bool) -> Kept<String> {
    match (secret, item.get("entityName").and_then(Json::as_str)) {
        (true, _) => Ok(SECRET.to_owned()),
        (false, None) => Ok(KVS.to_owned()),
        (false, Some(name)) if !name.is_empty() && name.len() <= 60 => Ok(format!("entity:{name}")),
        (false, Some(_)) => Err(refused(400, "INVALID_ENTITY", "The entity has no such name.")),
    }
}

fn key_of(item: &Json) -> Kept<String> {
    let key = item.get("key").and_then(Json::as_str).unwrap_or_default();
    if key.is_empty() {
        return Err(refused(400, "KEY_TOO_SHORT", "The key is empty."));
    }
    if key.chars().count() > KEY_CHARS_MAX {
        return Err(refused(400, "KEY_TOO_LONG", format!("A key has at most {KEY_CHARS_MAX} characters.")));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":._-#".contains(c);
    if key.trim().is_empty() || !key.chars().all(allowed) || key.contains('\0') {
        return Err(refused(400, "INVALID_KEY", "A key has letters, digits, blanks and :._-# and not only blanks."));
    }
    Ok(key.to_owned())
}

fn depth(value: &Json) -> usize {
    match value {
        Json::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Json::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn put_of(item: &Json, secret: bool) -> Kept<Put> {
    let (store, key) = (store_of(item, secret)?, key_of(item)?);
    let Some(value) = item.get("value").filter(|value| !value.is_null()) else {
        return Err(refused(400, "INVALID_VALUE", "There is no value."));
    };
    if depth(value) > DEPTH_MAX {
        return Err(refused(400, "MAX_DEPTH", format!("A value nests at most {DEPTH_MAX} deep.")));
    }
    if value.to_string().len() > VALUE_BYTES_MAX {
        return Err(refused(400, "MAX_SIZE", format!("A value has at most {VALUE_BYTES_MAX} bytes.")));
    }
    let options = item.get("options").cloned().unwrap_or_default();
    let ttl_ms = match options.get("ttl") {
        None | Some(Json::Null) => None,
        Some(ttl) => Some(ttl_ms(ttl)?),
    };
    let only_new = options.get("keyPolicy").and_then(Json::as_str) == Some("FAIL_IF_EXISTS");
    Ok(Put { store, key, value: value.clone(), ttl_ms, only_new, options })
}

fn ttl_ms(ttl: &Json) -> Kept<i64> {
    let unit = match ttl.get("unit").and_then(Json::as_str) {
        Some("SECONDS") => 1_000,
        Some("MINUTES") => 60_000,
        Some("HOURS") => 3_600_000,
        Some("DAYS") => 86_400_000,
        _ => return Err(refused(400, "INVALID_TTL", "The unit of a ttl is SECONDS, MINUTES, HOURS or DAYS.")),
    };
    let ms = ttl.get("value").and_then(Json::as_i64).and_then(|value| value.checked_mul(unit));
    ms.filter(|ms| (1..=TTL_MS_MAX).contains(ms))
        .ok_or_else(|| refused(400, "INVALID_TTL", "A ttl is between 1 second and a year."))
}

fn list<'a>(body: &'a Json, name: &str) -> &'a [Json] {
    body.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

// ---- operations

async fn get(tx: &mut Tx<Read>, view: &View, body: &Json, secret: bool) -> Kept<Json> {
    let (name, key) = (store_of(body, secret)?, key_of(body)?);
    let store = Store::open(tx, view).await?;
    let found = store.get(tx, &name, &key).await?;
    let found = found.ok_or_else(|| refused(404, "KEY_NOT_FOUND", "There is no value with this key."))?;
    Ok(found.json(body.get("options").unwrap_or(&Json::Null)))
}

async fn set(tx: &mut Tx<Write>, view: &View, body: &Json, secret: bool) -> Kept<Json> {
    let put = put_of(body, secret)?;
    let store = Store::open(tx, view).await?;
    let before = store.get(tx, &put.store, &put.key).await?;
    if put.only_new && before.is_some() {
        return Err(refused(409, "KEY_CONFLICT", "There is a value with this key."));
    }
    store.put(tx, view, &put).await?;
    Ok(match put.options.get("returnValue").and_then(Json::as_str) {
        Some("PREVIOUS") => before.map_or(json!({"key": put.key}), |before| before.json(&put.options)),
        Some("LATEST") => store.get(tx, &put.store, &put.key).await?.map_or(Json::Null, |now| now.json(&put.options)),
        _ => json!({"key": put.key}),
    })
}

async fn delete(tx: &mut Tx<Write>, view: &View, body: &Json, secret: bool) -> Kept<Json> {
    let (name, key) = (store_of(body, secret)?, key_of(body)?);
    let store = Store::open(tx, view).await?;
    store.remove(tx, &name, &key).await?;
    Ok(Json::Null)
}

async fn batch_get(tx: &mut Tx<Read>, view: &View, body: &Json) -> Kept<Json> {
    let items = batch(body)?;
    let store = Store::open(tx, view).await?;
    let mut outcome = Batch::default();
    for item in items {
        match (store_of(item, false), key_of(item)) {
            (Ok(name), Ok(key)) => match store.get(tx, &name, &key).await? {
                Some(found) => outcome.done(item, Some(&found.json(item.get("options").unwrap_or(&Json::Null)))),
                None => outcome.failed(item, "KEY_NOT_FOUND", "There is no value with this key."),
            },
            (Err(failed), _) | (_, Err(failed)) => outcome.failed_by(item, failed)?,
        }
    }
    Ok(outcome.json())
}

async fn batch_set(tx: &mut Tx<Write>, view: &View, body: &Json) -> Kept<Json> {
    let items = batch(body)?;
    let store = Store::open(tx, view).await?;
    let mut outcome = Batch::default();
    for item in items {
        match put_of(item, false) {
            Ok(put) if put.only_new && store.get(tx, &put.store, &put.key).await?.is_some() => {
                outcome.failed(item, "KEY_CONFLICT", "There is a value with this key.");
            }
            Ok(put) => {
                store.put(tx, view, &put).await?;
                outcome.done(item, None);
            }
            Err(failed) => outcome.failed_by(item, failed)?,
        }
    }
    Ok(outcome.json())
}

async fn batch_delete(tx: &mut Tx<Write>, view: &View, body: &Json) -> Kept<Json> {
    let items = batch(body)?;
    let store = Store::open(tx, view).await?;
    let mut outcome = Batch::default();
    for item in items {
        match (store_of(item, false), key_of(item)) {
            (Ok(name), Ok(key)) => {
                store.remove(tx, &name, &key).await?;
                outcome.done(item, None);
            }
            (Err(failed), _) | (_, Err(failed)) => outcome.failed_by(item, failed)?,
        }
    }
    Ok(outcome.json())
}

/// The items of a batch: not too many, each key once.
fn batch(body: &Json) -> Kept<&[Json]> {
    let items =
        body.as_array().map(Vec::as_slice).ok_or_else(|| refused(400, "INVALID_BATCH", "A batch is a list."))?;
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(refused(400, "INVALID_BATCH", format!("A batch has 1 to {BATCH_MAX} items.")));
    }
    bounded(items.iter())?;
    Ok(items)
}

fn bounded<'a>(items: impl Iterator<Item = &'a Json> + Clone) -> Kept<()> {
    let mut keys: Vec<_> = items
        .clone()
        .map(|item| (item.get("entityName").map(Json::to_string), item.get("key").map(Json::to_string)))
        .collect();
    keys.sort();
    if keys.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(refused(400, "DUPLICATE_KEYS", "A key stands twice."));
    }
    if items.map(|item| item.to_string().len()).sum::<usize>() > BATCH_BYTES_MAX {
        return Err(refused(400, "MAX_SIZE", format!("Together the items have at most {BATCH_BYTES_MAX} bytes.")));
    }
    Ok(())
}

#[derive(Default)]
struct Batch {
    successful: Vec<Json>,
    failed: Vec<Json>,
}

impl Batch {
    fn named(item: &Json) -> Map<String, Json> {
        let kept =
            ["key", "entityName"].into_iter().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())));
        kept.collect()
    }

    fn done(&mut self, item: &Json, value: Option<&Json>) {
        let mut named = Self::named(item);
        named.extend(value.and_then(Json::as_object).cloned().unwrap_or_default());
        self.successful.push(named.into());
    }

    fn failed(&mut self, item: &Json, code: &str, message: &str) {
        let mut named = Self::named(item);
        named.insert("error".to_owned(), json!({"code": code, "message": message}));
        self.failed.push(named.into());
    }

    fn failed_by(&mut self, item: &Json, failed: Failed) -> Kept<()> {
        match failed {
            Failed::Refused(refused) => {
                self.failed(item, refused.code, &refused.message);
                Ok(())
            }
            Failed::Problem(problem) => Err(problem.into()),
        }
    }

    fn json(self) -> Json {
        json!({"successfulKeys": self.successful, "failedKeys": self.failed})
    }
}

async fn transaction(tx: &mut Tx<Write>, view: &View, body: &Json) -> Kept<Json> {
    let (sets, deletes, checks) = (list(body, "set"), list(body, "delete"), list(body, "check"));
    let all = sets.iter().chain(deletes).chain(checks);
    if !(1..=BATCH_MAX).contains(&all.clone().count()) {
        return Err(refused(400, "INVALID_TRANSACTION", format!("A transaction has 1 to {BATCH_MAX} operations.")));
    }
    bounded(all.clone())?;
    let puts = sets.iter().map(|item| put_of(item, false)).collect::<Kept<Vec<_>>>()?;
    let store = Store::open(tx, view).await?;
    for item in all {
        let (name, key) = (store_of(item, false)?, key_of(item)?);
        let Some(conditions) = item.get("conditions").filter(|conditions| !conditions.is_null()) else { continue };
        let found = store.get(tx, &name, &key).await?;
        if !holds(conditions, found.as_ref().map_or(&Json::Null, |found| &found.value))? {
            return Err(refused(400, "CONDITIONAL_CHECK_FAILED", format!("The condition on `{key}` does not hold.")));
        }
    }
    for put in &puts {
        if put.only_new && store.get(tx, &put.store, &put.key).await?.is_some() {
            return Err(refused(409, "KEY_CONFLICT", format!("There is a value with the key `{}`.", put.key)));
        }
        store.put(tx, view, put).await?;
    }
    for item in deletes {
        store.remove(tx, &store_of(item, false)?, &key_of(item)?).await?;
    }
    Ok(Json::Null)
}

/// Everything that an installation keeps but its secrets, for the administrator.
///
/// # Errors
/// 410 once its key was destroyed.
pub(crate) async fn export(
    tx: &mut Tx<Read>,
    view: &View,
    installation: ForgeInstallationId,
) -> Result<Vec<Json>, Problem> {
    let keys = install::data_keys(tx, view, installation).await?;
    let gone = || Problem::new(portcullis_model::ProblemKind::Gone, "What this installation kept was destroyed.");
    let store = Store { installation, keys: keys.ok_or_else(gone)?, now_ms: view.now().0 };
    let sql = "SELECT DISTINCT store FROM forge_value WHERE installation = $1 AND store <> $2 ORDER BY store";
    let mut out = Vec::new();
    for row in tx.query(sql, &[installation.0.into(), SECRET.into()]).await? {
        let name: String = row.get("store")?;
        let entries = store.all(tx, &name).await?;
        out.extend(entries.iter().map(|entry| {
            json!({"store": name, "key": entry.key, "value": entry.value, "created": moment(entry.created_at_ms), "updated": moment(entry.updated_at_ms)})
        }));
    }
    Ok(out)
}

fn finish<O: Operation>(cx: Ctx<O>, kept: Kept<Json>) -> Outcome<O>
where
    O::Mode: OpMode,
{
    match kept {
        Ok(Json::Null) => cx.done(Reply::no_content()),
        Ok(json) => cx.done(Reply::json(json)),
        Err(Failed::Problem(problem)) => Err(problem),
        Err(Failed::Refused(refused)) => {
            let body = json!({"code": refused.code, "message": refused.message});
            cx.done(Reply::json(body).with_status(refused.status))
        }
    }
}

/// One handler: an operation, and the function above that does it.
macro_rules! on {
    ($handlers:ident, $operation:ident, $work:expr) => {
        $handlers.on(|mut cx: Ctx<op::$operation>, input: Input| async move {
            let view = cx.view().clone();
            let kept = $work(cx.tx(), &view, input.json()).await;
            finish(cx, kept)
        });
    };
    ($handlers:ident, $operation:ident, $work:expr, secret: $secret:expr) => {
        $handlers.on(|mut cx: Ctx<op::$operation>, input: Input| async move {
            let view = cx.view().clone();
            let kept = $work(cx.tx(), &view, input.json(), $secret).await;
            finish(cx, kept)
        });
    };
}

pub(super) fn handlers(handlers: &mut Handlers) {
    on!(handlers, ForgeKvsGet, get, secret: false);
    on!(handlers, ForgeKvsSecretGet, get, secret: true);
    on!(handlers, ForgeKvsEntityGet, get, secret: false);
    on!(handlers, ForgeKvsSet, set, secret: false);
    on!(handlers, ForgeKvsSecretSet, set, secret: true);
    on!(handlers, ForgeKvsEntitySet, set, secret: false);
    on!(handlers, ForgeKvsDelete, delete, secret: false);
    on!(handlers, ForgeKvsSecretDelete, delete, secret: true);
    on!(handlers, ForgeKvsEntityDelete, delete, secret: false);
    on!(handlers, ForgeKvsQuery, query);
    on!(handlers, ForgeKvsEntityQuery, entity_query);
    on!(handlers, ForgeKvsBatchGet, batch_get);
    on!(handlers, ForgeKvsBatchSet, batch_set);
    on!(handlers, ForgeKvsBatchDelete, batch_delete);
    on!(handlers, ForgeKvsTransaction, transaction);
}
