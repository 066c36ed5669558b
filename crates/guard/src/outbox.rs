//! The outbox as operations fill it and as the job that sends sees it: that job gets messages, and no other way to the database.

use portcullis_store::{Claimed, Message, Sent, StoreError, Tx, Writes};

use crate::enter::Guard;

impl Guard {
    pub(crate) async fn enqueue<M: Writes>(&self, tx: &mut Tx<M>, messages: &[Message]) -> Result<(), StoreError> {
        tx.enqueue(messages, self.now().0).await
    }

    /// Waits until this process has left something in the outbox.
    pub async fn outgoing(&self) {
        self.outgoing_notify().notified().await;
    }

    /// Makes the job look at the outbox.
    pub fn wake_outgoing(&self) {
        self.outgoing_notify().notify_one();
    }

    /// See [`portcullis_store::Store::claim_messages`]; the lease is from now on.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_messages(&self, lease_ms: i64, limit: i64, busy: &[String]) -> Result<Vec<Claimed>, StoreError> {
        let now = self.now().0;
        self.store().claim_messages(now, now + lease_ms, limit, busy).await
    }

    /// Leases a message for `lease_ms` from now on; see [`portcullis_store::Store::renew_message`].
    ///
    /// # Errors
    /// The database's.
    pub async fn renew_message(&self, id: i64, lease_ms: i64) -> Result<(), StoreError> {
        self.store().renew_message(id, self.now().0 + lease_ms).await
    }

    /// See [`portcullis_store::Store::settle_messages`].
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_messages(&self, sent: &[Sent]) -> Result<(), StoreError> {
        self.store().settle_messages(sent, self.now().0).await
    }

    /// Ends leases that a former process left behind, where the database is this process's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn release_messages(&self) -> Result<(), StoreError> {
        if self.store().is_embedded() {
            self.store().release_messages().await?;
        }
        Ok(())
    }

    /// Removes what was settled longer ago than `older_ms`, and of what each owner got all but the newest `kept`.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_settled_messages(&self, older_ms: i64, kept: i64) -> Result<(), StoreError> {
        self.store().forget_settled_messages(self.now().0 - older_ms, kept).await
    }
}
