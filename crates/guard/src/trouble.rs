//! What went wrong for an app lately, for its developer: kept in memory, bounded, by each node for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use portcullis_model::AppId;

/// Kept of one app.
const PER_APP_MAX: usize = 50;
/// Apps that are remembered.
const APPS_MAX: usize = 2_000;

/// One request of an app that was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at_ms: i64,
    /// The operation.
    pub operation: &'static str,
    /// For whom the app acted.
    pub account_id: Option<String>,
    /// Why, in one word.
    pub reason: &'static str,
    /// More about it that its developer may know.
    pub details: String,
    /// The decision, to be explained; empty where none was made.
    pub decision: String,
}

/// Troubles by app.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<HashMap<AppId, VecDeque<Trouble>>>);

impl Troubles {
    pub(crate) fn note(&self, app: AppId, trouble: Trouble) {
        let Ok(mut apps) = self.0.lock() else { return };
        if apps.len() >= APPS_MAX && !apps.contains_key(&app) {
            apps.clear();
        }
        let kept = apps.entry(app).or_default();
        kept.push_front(trouble);
        kept.truncate(PER_APP_MAX);
    }

    pub(crate) fn of(&self, app: AppId) -> Vec<Trouble> {
        self.0.lock().map(|apps| apps.get(&app).into_iter().flatten().cloned().collect()).unwrap_or_default()
    }
}
