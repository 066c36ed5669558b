//! What commands print: results on standard output, progress on standard error.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Whoever read our output has read enough, as in `portcullis audit | head`. Not a failure.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Prints a line.
pub(crate) fn say(line: impl fmt::Display) -> anyhow::Result<()> {
    write(&format!("{line}\n"))
}

/// Prints text as it is.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(error.into()),
    }
}

/// Says what is going on once it has taken a second, until dropped.
pub(crate) struct Progress {
    _over: Sender<()>,
}

/// Starts work that may take long; keep what it returns until the work is done.
pub(crate) fn progress(what: impl Into<String>) -> Progress {
    const QUIET: Duration = Duration::from_secs(1);
    let (what, (_over, is_over)) = (what.into(), channel());
    std::thread::spawn(move || {
        if is_over.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "{what} ...");
        }
    });
    Progress { _over }
}
