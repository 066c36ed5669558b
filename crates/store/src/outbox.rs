//! Messages to others: stored with the change that they tell of, sent afterwards, and kept for a while with what became of them.
//!
//! What is in the outbox survives a crash. A message may be sent twice, when the crash came between its delivery and the note of
//! it; its identifier is then the same. None is sent before its commit, because none is there before.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Mode, Row, SqlBuilder, Store, StoreError, Tx, Writes};

/// A message to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names it to the receiver; the same however often it is sent.
    pub identifier: String,
    /// Who gets it.
    pub owner: String,
    /// What it is for; the sender's number.
    pub target: i64,
    /// What the sender needs to know to send it.
    pub head: String,
    /// What is sent; shared by the messages that say the same.
    pub body: Arc<str>,
    /// It is due so much later than it is stored, in milliseconds.
    pub delay_ms: i64,
}

/// A message that is due, leased to whoever claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its number.
    pub id: i64,
    /// The message.
    pub message: Message,
    /// Attempts before this one.
    pub attempts: i64,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message's number.
    pub id: i64,
    /// Whether the receiver has it.
    pub delivered: bool,
    /// When it is tried again; `None`: never.
    pub due_at_ms: Option<i64>,
    /// For people: what the receiver said.
    pub note: String,
    /// What the sender needs to know from now on, where that changed.
    pub head: Option<String>,
}

/// How many messages stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Delivered.
    pub delivered: i64,
    /// Waiting, or under way.
    pub waiting: i64,
    /// Given up.
    pub failed: i64,
}

const KEEP_BODY: &str = "INSERT INTO store_outbox_body (body) VALUES ($1) RETURNING id";

const ENQUEUE: &str = "
    INSERT INTO store_outbox (identifier, owner, target, head, body_id, status, attempts, created_at_ms, due_at_ms, note)
    VALUES ($1, $2, $3, $4, $5, 'waiting', 0, $6, $7, '')";

const IS_DUE: &str = "
    SELECT 1 AS one FROM store_outbox WHERE due_at_ms <= $1 AND (leased_until_ms IS NULL OR leased_until_ms <= $1) LIMIT 1";

const BODY: &str = "SELECT body FROM store_outbox_body WHERE id = $1";

const SETTLE: &str = "
    UPDATE store_outbox SET status = $2, due_at_ms = $3, settled_at_ms = $4, note = $5, attempts = attempts + 1, leased_until_ms = NULL,
           head = coalesce($6, head)
     WHERE id = $1";

const RENEW: &str = "UPDATE store_outbox SET leased_until_ms = $2 WHERE id = $1 AND leased_until_ms IS NOT NULL";

const RELEASE: &str = "UPDATE store_outbox SET leased_until_ms = NULL WHERE leased_until_ms IS NOT NULL";

const FORGET_OLD: &str = "DELETE FROM store_outbox WHERE due_at_ms IS NULL AND settled_at_ms < $1";

const FORGET_BODIES: &str = "
    DELETE FROM store_outbox_body WHERE NOT EXISTS (SELECT 1 FROM store_outbox o WHERE o.body_id = store_outbox_body.id)";

const FORGET_MANY: &str = "
    DELETE FROM store_outbox WHERE id IN (
        SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY id DESC) AS age
                          FROM store_outbox WHERE status = 'delivered') kept
         WHERE age > $1)";

impl<M: Writes> Tx<M> {
    /// Stores messages, due at once.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn enqueue(&mut self, messages: &[Message], now_ms: i64) -> Result<(), StoreError> {
        let mut kept: Vec<(&Arc<str>, i64)> = Vec::new();
        for message in messages {
            let same = |body: &Arc<str>| Arc::ptr_eq(body, &message.body) || *body == message.body;
            let body = match kept.iter().find(|(body, _)| same(body)) {
                Some((_, id)) => *id,
                None => {
                    let id = self.query_one(KEEP_BODY, &[(&*message.body).into()]).await?.get("id")?;
                    kept.push((&message.body, id));
                    id
                }
            };
            let values = [
                message.identifier.as_str().into(),
                message.owner.as_str().into(),
                message.target.into(),
                message.head.as_str().into(),
                body.into(),
                now_ms.into(),
                now_ms.saturating_add(message.delay_ms).into(),
            ];
            self.execute(ENQUEUE, &values).await?;
        }
        Ok(())
    }

    /// Makes a settled message of `owner` due again, as if it had never been tried. Whether there is one.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn requeue(&mut self, id: i64, owner: &str, now_ms: i64) -> Result<bool, StoreError> {
        let sql =
            "UPDATE store_outbox SET status = 'waiting', attempts = 0, due_at_ms = $3, settled_at_ms = NULL, note = ''
                    WHERE id = $1 AND owner = $2 AND due_at_ms IS NULL";
        Ok(self.execute(sql, &[id.into(), owner.into(), now_ms.into()]).await? > 0)
    }

    /// Takes what waits out: messages of `owner` whose identifier begins with `start`. How many.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn cancel_messages(&mut self, owner: &str, start: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM store_outbox WHERE owner = $1 AND substr(identifier, 1, $3) = $2 AND status = 'waiting' AND leased_until_ms IS NULL";
        let length = i64::try_from(start.chars().count()).unwrap_or(i64::MAX);
        self.execute(sql, &[owner.into(), start.into(), length.into()]).await
    }

    /// Takes out what waits for `owner`, who is gone.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn forget_messages(&mut self, owner: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM store_outbox WHERE owner = $1", &[owner.into()]).await?;
        self.execute(FORGET_BODIES, &[]).await.map(drop)
    }
}

impl<M: Mode> Tx<M> {
    /// Counts messages of `owner` whose identifier begins with `start`.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn count_messages(&mut self, owner: &str, start: &str) -> Result<Counted, StoreError> {
        let sql = "SELECT status, count(*) AS n FROM store_outbox WHERE owner = $1 AND substr(identifier, 1, $3) = $2 GROUP BY status";
        let length = i64::try_from(start.chars().count()).unwrap_or(i64::MAX);
        let mut out = Counted::default();
        for row in self.query(sql, &[owner.into(), start.into(), length.into()]).await? {
            let n = row.get("n")?;
            match row.get::<String>("status")?.as_str() {
                "delivered" => out.delivered = n,
                "waiting" => out.waiting = n,
                _ => out.failed = n,
            }
        }
        Ok(out)
    }
}

impl Store {
    /// Leases up to `limit` messages that are due to the caller until a moment, the oldest first; none to owners in `busy`.
    ///
    /// # Errors
    /// As [`Store::write`]; [`StoreError::Conflict`] when another node was faster.
    pub async fn claim_messages(
        &self,
        now_ms: i64,
        until_ms: i64,
        limit: i64,
        busy: &[String],
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut reading = self.read().await?;
        let due = reading.query_opt(IS_DUE, &[now_ms.into()]).await?.is_some();
        reading.finish().await?;
        if !due {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let mut sql = SqlBuilder::new("UPDATE store_outbox SET leased_until_ms = ");
        sql.bind(until_ms).push(" WHERE id IN (SELECT id FROM store_outbox WHERE due_at_ms <= ").bind(now_ms);
        sql.push(" AND (leased_until_ms IS NULL OR leased_until_ms <= ").bind(now_ms).push(")");
        for owner in busy {
            sql.push(" AND owner <> ").bind(owner.as_str());
        }
        sql.push(" ORDER BY due_at_ms, id LIMIT ").bind(limit);
        sql.push(") RETURNING id, identifier, owner, target, head, body_id, attempts");
        let rows = tx.query(sql, &[]).await?;
        let mut bodies: HashMap<i64, Arc<str>> = HashMap::new();
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: i64 = row.get("body_id")?;
            let body = match bodies.get(&id) {
                Some(body) => Arc::clone(body),
                None => {
                    let body: Arc<str> = tx.query_one(BODY, &[id.into()]).await?.get::<String>("body")?.into();
                    bodies.insert(id, Arc::clone(&body));
                    body
                }
            };
            claimed.push(claimed_of(row, body)?);
        }
        claimed.sort_unstable_by_key(|claimed: &Claimed| claimed.id);
        tx.commit_bookkeeping().await?;
        Ok(claimed)
    }

    /// Notes what became of attempts.
    ///
    /// # Errors
    /// As [`Store::write`]; then nothing is noted, and the messages are due again when their lease ends.
    pub async fn settle_messages(&self, settled: &[Sent], now_ms: i64) -> Result<(), StoreError> {
        if settled.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        for one in settled {
            let status = match (one.delivered, one.due_at_ms) {
                (true, _) => "delivered",
                (false, Some(_)) => "waiting",
                (false, None) => "failed",
            };
            let at = one.due_at_ms.is_none().then_some(now_ms);
            let values = [
                one.id.into(),
                status.into(),
                one.due_at_ms.into(),
                at.into(),
                one.note.as_str().into(),
                one.head.clone().into(),
            ];
            tx.execute(SETTLE, &values).await?;
        }
        tx.commit_bookkeeping().await
    }

    /// Puts off the end of a message's lease, for an attempt that takes long. Without effect where nobody has leased it.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn renew_message(&self, id: i64, leased_until_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.execute(RENEW, &[id.into(), leased_until_ms.into()]).await?;
        tx.commit_bookkeeping().await
    }

    /// Ends every lease: for a process that owns the database and has just started.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn release_messages(&self) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.execute(RELEASE, &[]).await?;
        tx.commit_bookkeeping().await
    }

    /// Removes what was settled before a moment, and of what each owner got all but the newest `kept`.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn forget_settled_messages(&self, before_ms: i64, kept: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.execute(FORGET_OLD, &[before_ms.into()]).await?;
        tx.execute(FORGET_MANY, &[kept.into()]).await?;
        tx.execute(FORGET_BODIES, &[]).await?;
        tx.commit_bookkeeping().await
    }
}

fn claimed_of(row: &Row, body: Arc<str>) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        id: row.get("id")?,
        message: Message {
            identifier: row.get("identifier")?,
            owner: row.get("owner")?,
            target: row.get("target")?,
            head: row.get("head")?,
            body,
            delay_ms: 0,
        },
        attempts: row.get("attempts")?,
    })
}
