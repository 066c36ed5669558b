//! Calls without a connection: from code that runs here, from translations of ours, from the developer console. They are decided and
//! answered like everybody's, by the edge itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use portcullis_guard::{Caller, Guard};
use portcullis_model::{Problem, ProblemKind};
use portcullis_outbound::Method;

/// Which operations a call may reach; the edge checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaches {
    /// Jira's.
    Jira,
    /// Storage of Forge apps.
    Storage,
    /// The management API.
    Management,
}

/// A request without a connection.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// What may be asked for.
    pub reaches: Reaches,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers; those of the body count.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Its answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// The edge, as it answers such calls: routes, decisions and handlers are those of everybody.
pub trait Edge: Send + Sync + 'static {
    /// Answers a call.
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

/// The edge once it is there: handlers are made before it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Serving(Arc<OnceLock<(Guard, Arc<dyn Edge>)>>);

impl Serving {
    /// Names the guard that decides, and the edge that answers; the first ones count.
    pub fn serve_by(&self, guard: Guard, edge: Arc<dyn Edge>) {
        let _ = self.0.set((guard, edge));
    }

    /// Both.
    ///
    /// # Errors
    /// 503 while the server starts.
    pub fn get(&self) -> Result<&(Guard, Arc<dyn Edge>), Problem> {
        self.0.get().ok_or_else(|| Problem::new(ProblemKind::Unavailable, "The server is starting."))
    }
}
