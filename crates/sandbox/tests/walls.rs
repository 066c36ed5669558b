//! What a worker cannot do once it is locked in: each attempt ends the process, whoever makes it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

/// A process that locks itself in as a worker does, and then does `what`.
fn locked_in(what: &str) -> ExitStatus {
    Command::new(env!("CARGO_BIN_EXE_sandbox-worker"))
        .args(["probe", what])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the process runs")
}

#[test]
fn a_locked_process_may_compute_and_end() {
    assert_eq!(locked_in("nothing").code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn everything_else_ends_it() {
    const SIGSYS: i32 = 31;
    for what in [
        "open",
        "create",
        "remove",
        "list",
        "socket",
        "connect",
        "listen",
        "execute",
        "fork",
        "thread",
        "kill",
        "trace",
        "executable-memory",
        "executable-mapping",
        "io-uring",
        "mount",
        "unshare",
        "read-memory",
        "signal-handler",
        "more-privileges",
        "limits",
    ] {
        let status = locked_in(what);
        assert_eq!(status.signal(), Some(SIGSYS), "{what}: {status}");
    }
}
