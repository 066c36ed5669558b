//! The worker's program: it is started by the server as a process of its own, locks itself in, and runs one invocation after
//! the other, each in a fresh isolate.

use std::io;

use crate::frame::{Bind, Connection, to_server, to_worker};
use crate::isolate::{Isolate, Isolates, Stopped};
use crate::lock;
use crate::memory::Slot;

/// Processor time that loading an app's code may take, in milliseconds.
const EVALUATE_CPU_MS_MAX: u64 = 10_000;

/// Runs a worker whose standard input is its connection to the server. Returns when the server closes it.
///
/// # Errors
/// The machine cannot run a worker, or the server broke the protocol.
pub fn main() -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    lock::harden().map_err(text)?;
    let slot = Slot::reserve().map_err(text)?;
    let socket = rustix::stdio::stdin();
    let isolates = Isolates::load(slot.clone(), socket).map_err(|error| format!("{error:#}"))?;
    isolates.start_ticking();
    portcullis_crypto::guest::prepare()?;
    let walls = lock::lock_in(slot.restores_by_page())?;
    let mut connection = Connection::new(socket);
    let ready = serde_json::to_vec(&walls).map_err(|error| error.to_string())?;
    connection.send(to_server::READY, &ready).map_err(text)?;
    let mut message = Vec::new();
    while let Some(kind) = connection.receive(&mut message).map_err(text)? {
        match kind {
            to_worker::BIND => {
                let bind: Bind = serde_json::from_slice(&message).map_err(|error| error.to_string())?;
                let image = connection.take_file().ok_or("no image came")?;
                slot.bind(std::os::fd::AsFd::as_fd(&image), bind.image_bytes, bind.heap_bytes_max, bind.compare)
                    .map_err(text)?;
            }
            to_worker::EVALUATE => evaluate(&isolates, &connection, &message)?,
            to_worker::INVOKE => invoke(&isolates, &mut connection, &message)?,
            // An answer for an isolate that is gone.
            to_worker::REPLY => {}
            other => return Err(format!("the server said {other}")),
        }
    }
    Ok(())
}

/// Locks this process in as a worker is, and returns; for tests that try the walls.
///
/// # Errors
/// As [`main`].
pub fn behind_walls() -> Result<(), String> {
    lock::harden().map_err(|error| error.to_string())?;
    lock::lock_in(false).map(|_| ())
}

fn evaluate(isolates: &Isolates, connection: &Connection<'_>, message: &[u8]) -> Result<(), String> {
    let mut parts = message.splitn(2, |byte| *byte == 0);
    let (name, code) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut isolate = isolates.fresh(EVALUATE_CPU_MS_MAX).map_err(|error| format!("{error:#}"))?;
    let send = |kind, content: &[u8]| connection.send(kind, content).map_err(|error| error.to_string());
    match isolate.evaluate(name, code) {
        Ok(true) => send(to_server::IMAGE, isolate.image()),
        // Why was told.
        Ok(false) if isolate.has_ended() => Ok(()),
        Ok(false) => send(to_server::EXCEPTION, b"the code took the place of what messages go to"),
        Err(Stopped::Time) => send(to_server::LIMIT, b"cpu"),
        Err(Stopped::Stack) => send(to_server::LIMIT, b"stack"),
        Err(Stopped::Trap(why)) => Err(why),
    }
}

fn invoke(isolates: &Isolates, connection: &mut Connection<'_>, message: &[u8]) -> Result<(), String> {
    let Some((cpu, message)) = message.split_first_chunk::<4>() else {
        return Err("an invocation without limit".into());
    };
    let mut isolate = isolates.fresh(u64::from(u32::from_le_bytes(*cpu))).map_err(|error| format!("{error:#}"))?;
    let end = run(&mut isolate, connection, message);
    let refused_memory = isolate.was_refused_memory();
    let limit: &[u8] = match end {
        // Said by the isolate itself; the server has all it waits for.
        Ok(End::Said) => return Ok(()),
        Ok(End::ServerGone) => return Ok(()),
        Ok(End::Stalled) => b"stalled",
        Err(Stopped::Time) => b"cpu",
        Err(Stopped::Stack) => b"stack",
        Err(Stopped::Trap(_)) if refused_memory => b"memory",
        Err(Stopped::Trap(why)) => return Err(why),
    };
    connection.send(to_server::LIMIT, limit).map_err(|error| error.to_string())
}

enum End {
    Said,
    Stalled,
    ServerGone,
}

fn run(isolate: &mut Isolate, connection: &mut Connection<'_>, message: &[u8]) -> Result<End, Stopped> {
    let gone = |error: io::Error| Stopped::Trap(error.to_string());
    isolate.tell(message)?;
    let mut answer = Vec::new();
    while !isolate.has_ended() {
        if let Some(id) = isolate.take_due_timer() {
            isolate.tell(format!("{{\"t\":\"timer\",\"id\":{id}}}").as_bytes())?;
            continue;
        }
        if isolate.is_stalled() {
            return Ok(End::Stalled);
        }
        if let Some(wait_ms) = isolate.next_timer_ms()
            && !connection.wait(wait_ms).map_err(gone)?
        {
            continue;
        }
        match connection.receive(&mut answer).map_err(gone)? {
            None => return Ok(End::ServerGone),
            Some(to_worker::REPLY) => {
                isolate.answered();
                isolate.tell(&answer)?;
            }
            Some(other) => return Err(Stopped::Trap(format!("the server said {other} to a running isolate"))),
        }
    }
    Ok(End::Said)
}
