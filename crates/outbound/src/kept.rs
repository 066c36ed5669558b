//! Connections that are open between two requests to the same place.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::{Line, Place};

/// A connection that was not used for so long is closed: names are looked up, and addresses checked, anew.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Connections kept to one place.
const PER_PLACE_MAX: usize = 32;

#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<Place, Vec<(Line, Instant)>>>);

impl Kept {
    /// The connection that was used last.
    pub(crate) fn take(&self, place: &Place) -> Option<Line> {
        let mut kept = self.0.lock().ok()?;
        let lines = kept.get_mut(place)?;
        lines.retain(|(line, since)| !line.is_closed() && since.elapsed() < IDLE_MAX);
        let line = lines.pop().map(|(line, _)| line);
        if lines.is_empty() {
            kept.remove(place);
        }
        line
    }

    pub(crate) fn put(&self, place: Place, line: Line) {
        let Ok(mut kept) = self.0.lock() else { return };
        // Places that nobody asks for any more are forgotten on the way.
        kept.retain(|_, lines| {
            lines.retain(|(line, since)| !line.is_closed() && since.elapsed() < IDLE_MAX);
            !lines.is_empty()
        });
        let lines = kept.entry(place).or_default();
        if lines.len() < PER_PLACE_MAX {
            lines.push((line, Instant::now()));
        }
    }
}
