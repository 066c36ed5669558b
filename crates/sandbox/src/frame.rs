//! Messages between the server and a worker: four bytes of length, little-endian, one of kind, and as many as the length says.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// Bytes in front of a message.
pub(crate) const HEAD_BYTES: usize = 5;

/// The longest message to a worker, in bytes: an app's whole code.
pub(crate) const TO_WORKER_BYTES_MAX: usize = 64 << 20;

/// What the server tells a worker.
pub(crate) mod to_worker {
    /// The image to run from: its file is beside the message, its length and limits in it ([`super::Bind`]).
    pub const BIND: u8 = b'B';
    /// A name, a zero, and code to run before a snapshot.
    pub const EVALUATE: u8 = b'V';
    /// Four bytes: processor time in milliseconds, little-endian. Then the message for a fresh isolate.
    pub const INVOKE: u8 = b'I';
    /// The answer to a host call, for the isolate.
    pub const REPLY: u8 = b'R';
}

/// What a worker tells the server.
pub(crate) mod to_server {
    /// Locked in; its walls.
    pub const READY: u8 = b'W';
    /// The image after [`super::to_worker::EVALUATE`].
    pub const IMAGE: u8 = b'M';
    /// The isolate asks for something.
    pub const HOST_CALL: u8 = b'H';
    /// The isolate writes to its log.
    pub const LOG: u8 = b'L';
    /// The invocation's result.
    pub const RESULT: u8 = b'R';
    /// What the app threw.
    pub const THROWN: u8 = b'E';
    /// An exception that nobody caught, or code that does not load.
    pub const EXCEPTION: u8 = b'X';
    /// A limit ended the isolate; which.
    pub const LIMIT: u8 = b'K';
}

/// What comes with an image.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Bind {
    pub image_bytes: usize,
    pub heap_bytes_max: usize,
    pub compare: bool,
}

pub(crate) fn head(kind: u8, length: usize) -> io::Result<[u8; HEAD_BYTES]> {
    let length = u32::try_from(length).map_err(|_| io::Error::other("a message is too long"))?.to_le_bytes();
    let [a, b, c, d] = length;
    Ok([a, b, c, d, kind])
}

/// Kind and length that stand in a head.
pub(crate) fn read_head(head: [u8; HEAD_BYTES]) -> (u8, usize) {
    let [a, b, c, d, kind] = head;
    (kind, u32::from_le_bytes([a, b, c, d]) as usize)
}

/// A worker's end of the connection: blocking, one message at a time.
pub(crate) struct Connection<'a> {
    socket: BorrowedFd<'a>,
    file: Option<OwnedFd>,
}

impl<'a> Connection<'a> {
    pub fn new(socket: BorrowedFd<'a>) -> Self {
        Self { socket, file: None }
    }

    pub fn send(&self, kind: u8, message: &[u8]) -> io::Result<()> {
        let head = head(kind, message.len())?;
        let mut sent = rustix::io::writev(self.socket, &[io::IoSlice::new(&head), io::IoSlice::new(message)])?;
        while sent < HEAD_BYTES {
            sent += rustix::io::write(self.socket, &head[sent..])?;
        }
        while sent < HEAD_BYTES + message.len() {
            sent += rustix::io::write(self.socket, &message[sent - HEAD_BYTES..])?;
        }
        Ok(())
    }

    /// The next message's kind; `None` when the server is gone. The content goes to `into`.
    pub fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<Option<u8>> {
        let mut head = [0; HEAD_BYTES];
        let mut filled = 0;
        while filled < HEAD_BYTES {
            let read = self.receive_with_file(&mut head[filled..])?;
            if read == 0 {
                return Ok(None);
            }
            filled += read;
        }
        let (kind, length) = read_head(head);
        if length > TO_WORKER_BYTES_MAX {
            return Err(io::Error::other("a message is too long"));
        }
        into.resize(length, 0);
        let mut filled = 0;
        while filled < length {
            let read = rustix::io::read(self.socket, &mut into[filled..])?;
            if read == 0 {
                return Ok(None);
            }
            filled += read;
        }
        Ok(Some(kind))
    }

    /// The file that came with a message.
    pub fn take_file(&mut self) -> Option<OwnedFd> {
        self.file.take()
    }

    fn receive_with_file(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(into)];
        let received = rustix::net::recvmsg(self.socket, &mut parts, &mut beside, RecvFlags::empty())?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.file = files.last();
            }
        }
        Ok(received.bytes)
    }

    /// Waits until there is something to read, or `timeout_ms` have passed. False when they have.
    pub fn wait(&self, timeout_ms: u64) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout_ms / 1_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(timeout_ms % 1_000 * 1_000_000).unwrap_or(0),
        };
        let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut sockets, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            // The clock of processor time.
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Connection<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket
    }
}
