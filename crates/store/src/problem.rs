//! What a database error means to the outside: never its words.

use portcullis_model::{Problem, ProblemKind};

use crate::StoreError;

impl From<StoreError> for Problem {
    /// Busy, away and lost races ask to try again; everything else is our bug. The cause is kept for the log.
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Conflict | StoreError::Busy | StoreError::Unavailable(_) | StoreError::CommitUnknown(_) => {
                ProblemKind::Unavailable
            }
            _ => ProblemKind::Bug,
        };
        let mut problem = Problem::bug(error);
        problem.kind = kind;
        problem
    }
}
