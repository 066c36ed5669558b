//! The server's side: workers that wait, and invocations that run in them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::frame::{self, Bind, to_server, to_worker};
use crate::lock::Walls;

/// Memory of an isolate in which the engine and the prelude are ready, made by `build.rs`.
static BASE_IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/base.image"));

/// A worker that takes longer to get ready is given up.
const START_MAX: Duration = Duration::from_secs(20);

/// Loading an app's code, start of the worker included.
const BUILD_MAX: Duration = Duration::from_secs(60);

/// An image, in bytes: more than the largest heap is no image.
const IMAGE_BYTES_MAX: usize = 512 << 20;

/// Beyond what the limits allow, a message of this many bytes is the worker's last.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How a worker is started: the server's own program with words that make it one, or another.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to run.
    pub path: PathBuf,
    /// What [`crate::worker::main`] is reached by.
    pub arguments: Vec<OsString>,
}

/// How many workers there are, and how strict.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Workers at once, each for one invocation: 12 MB each.
    pub workers_max: usize,
    /// Workers at once of one tenant: what it asks for beyond waits, and others do not.
    pub tenant_workers_max: usize,
    /// Workers that wait for an app that has none, so that it need not wait for a process to start.
    pub spares: usize,
    /// A worker without work for as long ends.
    pub idle_max: Duration,
    /// A worker ends after as many invocations.
    pub invocations_max: u32,
    /// Compare the image after each invocation, byte by byte; for tests.
    pub compare: bool,
    /// Run apps although no system-call filter stands around them. Only for machines that have none.
    pub allow_weak: bool,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            workers_max: 64,
            tenant_workers_max: 16,
            spares: 2,
            idle_max: Duration::from_secs(60),
            invocations_max: 10_000,
            compare: cfg!(debug_assertions),
            allow_weak: false,
        }
    }
}

/// Bounds of one invocation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of the isolate, in bytes. It holds for a worker's whole life: that of the first invocation counts.
    pub heap_bytes: usize,
    /// Processor time.
    pub cpu: Duration,
    /// Time on the clock.
    pub wall: Duration,
    /// A message of the app: a result, or one call to the host; in bytes.
    pub message_bytes: usize,
    /// All log lines together, in bytes; what is more is dropped and counted.
    pub log_bytes: usize,
    /// Calls to the host.
    pub host_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heap_bytes: 256 << 20,
            cpu: Duration::from_secs(10),
            wall: Duration::from_secs(25),
            message_bytes: 6 << 20,
            log_bytes: 256 << 10,
            host_calls: 1_000,
        }
    }
}

/// What an invocation's code may ask, and where its log goes. Everything it is handed comes from the app.
pub trait Host: Send + Sync + 'static {
    /// Answers a call: JSON. What it answers is handed to the app as it is.
    fn call(self: Arc<Self>, call: HostCall)
    -> Pin<Box<dyn Future<Output = Result<serde_json::Value, String>> + Send>>;

    /// A line of the app's log: JSON, `[level, text]` if the app leaves it as the prelude makes it.
    fn log(&self, line: &[u8]);
}

/// A call of an app's code to its host.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCall {
    id: u64,
    /// What is wanted.
    pub op: String,
    /// With which particulars.
    pub data: serde_json::Value,
}

/// What an app's code became: isolates start from it.
#[derive(Clone)]
pub struct Image(Arc<ImageFile>);

struct ImageFile {
    id: u64,
    file: OwnedFd,
    bytes: usize,
}

impl Image {
    /// How large it is.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// In memory that nobody can write any more, a worker included.
    fn sealed(content: &[u8]) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let file = rustix::fs::memfd_create("image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut written = 0;
        while written < content.len() {
            written += rustix::io::write(&file, &content[written..])?;
        }
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::new(ImageFile { id, file, bytes: content.len() })))
    }

    fn base() -> io::Result<Self> {
        static BASE: OnceLock<Image> = OnceLock::new();
        if let Some(base) = BASE.get() {
            return Ok(base.clone());
        }
        let made = Self::sealed(BASE_IMAGE)?;
        Ok(BASE.get_or_init(|| made).clone())
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}, {} bytes)", self.0.id, self.0.bytes)
    }
}

/// Why an app's code became no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It threw while it was loaded, or is no JavaScript; what and where.
    #[error("the app's code does not load: {0}")]
    Code(String),
    /// It took too long, or too much memory.
    #[error("loading the app's code takes more than {0:?} allows")]
    Limit(Limit),
    /// Not the app's fault.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// Why nothing could run.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No worker could be started.
    #[error("cannot start a worker of the sandbox: {0}")]
    Start(String),
    /// The kernel does not offer the least that is asked for.
    #[error("this machine has no system-call filter; apps would run without it")]
    Weak,
    /// The connection to a worker broke.
    #[error("a worker of the sandbox does not answer: {0}")]
    Io(#[from] io::Error),
}

/// Which bound an invocation met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Depth of calls, where the engine does not notice by itself. The worker ends with it.
    Stack,
    /// Time on the clock.
    Wall,
    /// A message was too long.
    Message,
    /// Calls to the host.
    HostCalls,
}

/// How an invocation ended.
#[derive(Debug)]
pub enum Ended {
    /// With a value: JSON as the app's code left it.
    Returned(Vec<u8>),
    /// The app's code threw: JSON `{name, message, stack, …}` if the app leaves it as the prelude makes it.
    Threw(Vec<u8>),
    /// Nobody caught an exception.
    Uncaught(String),
    /// It waited for something that cannot come.
    Stalled,
    /// A bound was met.
    Limited(Limit),
    /// The worker died, which an app's code should not be able to bring about.
    Crashed(String),
}

/// What an invocation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls to the host.
    pub host_calls: u32,
    /// Log lines that found no room.
    pub log_lines_dropped: u32,
    /// No worker of the app was waiting.
    pub cold: bool,
}

/// An invocation that has ended.
#[derive(Debug)]
pub struct Invocation {
    /// How.
    pub ended: Ended,
    /// With what.
    pub usage: Usage,
}

/// Workers, shared by all apps; each of them serves one image and one tenant all its life.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    program: Program,
    config: PoolConfig,
    room: Semaphore,
    rooms: Mutex<HashMap<u64, Arc<Semaphore>>>,
    waiting: Mutex<Waiting>,
    spares_wanted: Notify,
    walls: OnceLock<Walls>,
}

#[derive(Default)]
struct Waiting {
    spares: Vec<Worker>,
    bound: HashMap<(u64, u64), Vec<Worker>>,
}

/// A worker's process. Dropping it ends it.
struct Worker {
    process: Option<Child>,
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    invocations: u32,
    since: Instant,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Asking it to end would be asking the app.
        let _ = process.kill();
        let mut reap = move || {
            let _ = process.wait();
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(reap)),
            Err(_) => reap(),
        }
    }
}

impl Pool {
    /// A pool without workers yet; they start when they are wanted.
    pub fn new(program: Program, config: PoolConfig) -> Self {
        let room = Semaphore::new(config.workers_max.max(1));
        Self(Arc::new(Inner {
            program,
            config,
            room,
            rooms: Mutex::default(),
            waiting: Mutex::default(),
            spares_wanted: Notify::new(),
            walls: OnceLock::new(),
        }))
    }

    /// Keeps spares ready and ends workers that nobody needs, for as long as it is polled.
    pub async fn keep(&self) {
        loop {
            self.0.end_idle();
            while self.0.waiting().spares.len() < self.0.config.spares {
                match self.0.start().await {
                    Ok(worker) => self.0.waiting().spares.push(worker),
                    Err(error) => {
                        tracing::warn!(%error, "no spare worker of the sandbox");
                        break;
                    }
                }
            }
            let _ = tokio::time::timeout(self.0.config.idle_max / 4, self.0.spares_wanted.notified()).await;
        }
    }

    /// The walls around workers on this machine, seen on a worker that was started for it if there was none.
    ///
    /// # Errors
    /// No worker can be started.
    pub async fn walls(&self) -> Result<Walls, PoolError> {
        if let Some(walls) = self.0.walls.get() {
            return Ok(*walls);
        }
        let worker = self.0.start().await?;
        self.0.waiting().spares.push(worker);
        self.0.walls.get().copied().ok_or_else(|| PoolError::Start("a worker said nothing of its walls".to_owned()))
    }

    /// Loads an app's code, in a worker of its own.
    ///
    /// # Errors
    /// The code does not load within its bounds, or no worker does.
    pub async fn build(&self, name: &str, code: &str, limits: &Limits) -> Result<Image, BuildError> {
        let _room = self.0.room.acquire().await.map_err(|_| PoolError::Start("the server is stopping".to_owned()))?;
        let message = [name.replace('\0', "").as_bytes(), b"\0", code.as_bytes()].concat();
        let built = async {
            let mut worker = self.0.blank().await?;
            match worker.build(&message, limits).await {
                // A spare that waited may have died of something else than this code: once more, in a new one.
                Err(BuildError::Pool(PoolError::Io(error))) => {
                    tracing::warn!(why = worker.epitaph(error), "a worker of the sandbox died while it loaded an app");
                    let mut worker = self.0.start().await?;
                    match worker.build(&message, limits).await {
                        Err(BuildError::Pool(PoolError::Io(error))) => {
                            Err(PoolError::Io(io::Error::other(worker.epitaph(error))).into())
                        }
                        ended => ended,
                    }
                }
                ended => ended,
            }
        };
        tokio::time::timeout(BUILD_MAX, built).await.unwrap_or(Err(BuildError::Limit(Limit::Wall)))
    }

    /// Runs an image with a message. `tenant` never shares a worker with another.
    ///
    /// # Errors
    /// There is no worker to run it; what the app's code does is in the answer.
    pub async fn invoke<H: Host>(
        &self,
        image: &Image,
        tenant: u64,
        message: &[u8],
        limits: &Limits,
        host: Arc<H>,
    ) -> Result<Invocation, PoolError> {
        let stopping = |_| PoolError::Start("the server is stopping".to_owned());
        let own = self.0.room_of(tenant);
        let _own = own.acquire().await.map_err(stopping)?;
        let _room = self.0.room.acquire().await.map_err(stopping)?;
        let key = (image.0.id, tenant);
        let mut usage = Usage::default();
        let waiting = self.0.waiting().bound.get_mut(&key).and_then(Vec::pop);
        let mut worker = match waiting {
            Some(worker) => worker,
            None => {
                usage.cold = true;
                let mut worker = self.0.blank().await?;
                worker.bind(image, limits.heap_bytes, self.0.config.compare).await?;
                worker
            }
        };
        let run = worker.run(message, limits, host, &mut usage);
        let ended = match tokio::time::timeout(limits.wall, run).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => Ended::Limited(Limit::Message),
            Ok(Err(error)) => Ended::Crashed(worker.epitaph(error)),
            Err(_) => Ended::Limited(Limit::Wall),
        };
        worker.invocations += 1;
        // After anything but an end that the worker itself told of, nobody knows what it does.
        let sane = match &ended {
            Ended::Returned(_) | Ended::Threw(_) | Ended::Uncaught(_) | Ended::Stalled => true,
            Ended::Limited(limit) => matches!(limit, Limit::Cpu | Limit::Memory),
            Ended::Crashed(_) => false,
        };
        if sane && worker.invocations < self.0.config.invocations_max {
            worker.since = Instant::now();
            self.0.waiting().bound.entry(key).or_default().push(worker);
        }
        Ok(Invocation { ended, usage })
    }

    /// Ends the workers of an image, after what they run.
    pub fn forget(&self, image: &Image) {
        let mut waiting = self.0.waiting();
        let ended: Vec<_> = waiting.bound.extract_if(|(id, _), _| *id == image.0.id).collect();
        drop(waiting);
        drop(ended);
    }

    /// Workers that wait, spares included.
    pub fn idle(&self) -> usize {
        let waiting = self.0.waiting();
        waiting.spares.len() + waiting.bound.values().map(Vec::len).sum::<usize>()
    }
}

impl Inner {
    /// The workers that a tenant may have at once.
    fn room_of(&self, tenant: u64) -> Arc<Semaphore> {
        /// Rooms that nobody is in are kept up to this many.
        const KEPT: usize = 1_024;
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() > KEPT {
            rooms.retain(|_, room| Arc::strong_count(room) > 1);
        }
        let new = || Arc::new(Semaphore::new(self.config.tenant_workers_max.max(1)));
        Arc::clone(rooms.entry(tenant).or_insert_with(new))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blank(&self) -> Result<Worker, PoolError> {
        let spare = self.waiting().spares.pop();
        self.spares_wanted.notify_one();
        self.make_room();
        match spare {
            Some(spare) => Ok(spare),
            None => self.start().await,
        }
    }

    /// One that waits for an app has waited longest: it goes when there would be more than the bound.
    fn make_room(&self) {
        let mut waiting = self.waiting();
        let count: usize = waiting.bound.values().map(Vec::len).sum();
        if count < self.config.workers_max {
            return;
        }
        let oldest = waiting.bound.iter().filter_map(|(key, workers)| Some((workers.first()?.since, *key))).min();
        let ended = oldest.and_then(|(_, key)| {
            let workers = waiting.bound.get_mut(&key)?;
            let ended = workers.remove(0);
            if workers.is_empty() {
                waiting.bound.remove(&key);
            }
            Some(ended)
        });
        drop(waiting);
        drop(ended);
    }

    fn end_idle(&self) {
        let mut waiting = self.waiting();
        let mut ended = Vec::new();
        for workers in waiting.bound.values_mut() {
            ended.extend(workers.extract_if(.., |worker| worker.since.elapsed() >= self.config.idle_max));
        }
        waiting.bound.retain(|_, workers| !workers.is_empty());
        drop(waiting);
        drop(ended);
    }

    async fn start(&self) -> Result<Worker, PoolError> {
        let failed = |error: io::Error| PoolError::Start(error.to_string());
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let program = self.program.clone();
        let started = tokio::task::spawn_blocking(move || {
            Command::new(&program.path)
                .args(&program.arguments)
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::from(OwnedFd::from(theirs)))
                .stdout(Stdio::null())
                .stderr(Stdio::inherit())
                .spawn()
        });
        let process = started.await.map_err(|error| PoolError::Start(error.to_string()))?.map_err(failed)?;
        let (from, to) = UnixStream::from_std(ours).map_err(failed)?.into_split();
        let from = BufReader::with_capacity(64 << 10, from);
        let mut worker = Worker { process: Some(process), from, to, invocations: 0, since: Instant::now() };
        let ready = tokio::time::timeout(START_MAX, worker.receive(MESSAGE_BYTES_MAX)).await;
        let walls: Walls = match ready {
            Ok(Ok((to_server::READY, walls))) => {
                serde_json::from_slice(&walls).map_err(|error| PoolError::Start(error.to_string()))?
            }
            Ok(Ok((other, _))) => return Err(PoolError::Start(format!("it said {other}"))),
            Ok(Err(error)) => return Err(PoolError::Start(worker.epitaph(error))),
            Err(_) => return Err(PoolError::Start("it is not ready in time".to_owned())),
        };
        if !walls.system_calls && !self.config.allow_weak {
            return Err(PoolError::Weak);
        }
        let _ = self.walls.set(walls);
        Ok(worker)
    }
}

impl Worker {
    async fn bind(&mut self, image: &Image, heap_bytes_max: usize, compare: bool) -> io::Result<()> {
        let content = serde_json::to_vec(&Bind { image_bytes: image.0.bytes, heap_bytes_max, compare })?;
        let head = frame::head(to_worker::BIND, content.len())?;
        let message = [&head[..], &content].concat();
        let files = [image.0.file.as_fd()];
        let socket = self.to.as_ref();
        // A few bytes into an empty buffer: they go at once and whole.
        let sent = socket
            .async_io(tokio::io::Interest::WRITABLE, || {
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut beside = SendAncillaryBuffer::new(&mut space);
                if !beside.push(SendAncillaryMessage::ScmRights(&files)) {
                    return Err(io::Error::other("no room for a file beside a message"));
                }
                let parts = [io::IoSlice::new(&message)];
                Ok(rustix::net::sendmsg(socket, &parts, &mut beside, SendFlags::NOSIGNAL)?)
            })
            .await?;
        if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Loads an app's code: `message` is its name, a zero byte and the code.
    async fn build(&mut self, message: &[u8], limits: &Limits) -> Result<Image, BuildError> {
        let base = Image::base().map_err(PoolError::Io)?;
        self.bind(&base, limits.heap_bytes, false).await.map_err(PoolError::Io)?;
        self.send(to_worker::EVALUATE, message).await.map_err(PoolError::Io)?;
        loop {
            let (kind, content) = self.receive(IMAGE_BYTES_MAX).await.map_err(PoolError::Io)?;
            match kind {
                to_server::IMAGE => return Ok(Image::sealed(&content).map_err(PoolError::Io)?),
                to_server::EXCEPTION => return Err(BuildError::Code(text(&content))),
                to_server::LIMIT => return Err(BuildError::Limit(limit_of(&content).unwrap_or(Limit::Cpu))),
                to_server::LOG => {}
                to_server::HOST_CALL => {
                    let why = "it calls the host while it is loaded; do that in a function".to_owned();
                    return Err(BuildError::Code(why));
                }
                other => return Err(PoolError::Start(format!("a worker said {other}")).into()),
            }
        }
    }

    async fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        send(&mut self.to, kind, content).await
    }

    async fn receive(&mut self, bytes_max: usize) -> io::Result<(u8, Vec<u8>)> {
        receive(&mut self.from, bytes_max).await
    }

    async fn run<H: Host>(
        &mut self,
        message: &[u8],
        limits: &Limits,
        host: Arc<H>,
        usage: &mut Usage,
    ) -> io::Result<Ended> {
        let cpu_ms = u32::try_from(limits.cpu.as_millis()).unwrap_or(u32::MAX);
        self.send(to_worker::INVOKE, &[&cpu_ms.to_le_bytes(), message].concat()).await?;
        let mut log_bytes = 0;
        let mut calls = JoinSet::new();
        // Reading must not be broken off between head and content, so that it is a future of its own across answers.
        let Self { from, to, .. } = self;
        loop {
            let mut next = std::pin::pin!(receive(from, MESSAGE_BYTES_MAX));
            let (kind, content) = loop {
                tokio::select! {
                    biased;
                    received = &mut next => break received?,
                    Some(answer) = calls.join_next() => {
                        let answer: Vec<u8> = answer.map_err(io::Error::other)?;
                        send(to, to_worker::REPLY, &answer).await?;
                    }
                }
            };
            if kind != to_server::LOG && content.len() > limits.message_bytes {
                return Ok(Ended::Limited(Limit::Message));
            }
            match kind {
                to_server::LOG => {
                    log_bytes += content.len();
                    if log_bytes <= limits.log_bytes {
                        host.log(&content);
                    } else {
                        usage.log_lines_dropped += 1;
                    }
                }
                to_server::HOST_CALL => {
                    usage.host_calls += 1;
                    if usage.host_calls > limits.host_calls {
                        return Ok(Ended::Limited(Limit::HostCalls));
                    }
                    let call: HostCall = serde_json::from_slice(&content).map_err(io::Error::other)?;
                    let host = Arc::clone(&host);
                    calls.spawn(async move {
                        let id = call.id;
                        let answer = match host.call(call).await {
                            Ok(value) => serde_json::json!({"t": "reply", "id": id, "ok": value}),
                            Err(why) => serde_json::json!({"t": "reply", "id": id, "error": why}),
                        };
                        answer.to_string().into_bytes()
                    });
                }
                to_server::RESULT => return Ok(Ended::Returned(content)),
                to_server::THROWN => return Ok(Ended::Threw(content)),
                to_server::EXCEPTION => return Ok(Ended::Uncaught(text(&content))),
                to_server::LIMIT => {
                    return Ok(limit_of(&content).map_or(Ended::Stalled, Ended::Limited));
                }
                other => return Err(io::Error::other(format!("a worker said {other}"))),
            }
        }
    }

    /// What is known of a worker whose connection broke.
    fn epitaph(&mut self, error: io::Error) -> String {
        use std::os::unix::process::ExitStatusExt;
        let status = self.process.as_mut().and_then(|process| {
            let _ = process.kill();
            process.wait().ok()
        });
        match status {
            // The kill above comes too late for one that is dead.
            Some(status) if status.signal().is_some_and(|signal| signal != libc::SIGKILL) => {
                format!("a signal ended the worker: {status}")
            }
            Some(status) if status.code().is_some() => format!("the worker ended: {status}"),
            _ => error.to_string(),
        }
    }
}

async fn send(to: &mut OwnedWriteHalf, kind: u8, content: &[u8]) -> io::Result<()> {
    let head = frame::head(kind, content.len())?;
    to.write_all(&[&head[..], content].concat()).await
}

async fn receive(from: &mut BufReader<OwnedReadHalf>, bytes_max: usize) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; frame::HEAD_BYTES];
    from.read_exact(&mut head).await?;
    let (kind, length) = frame::read_head(head);
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a worker's message is too long"));
    }
    let mut content = vec![0; length];
    from.read_exact(&mut content).await?;
    Ok((kind, content))
}

/// The bound that a worker names.
fn limit_of(content: &[u8]) -> Option<Limit> {
    match content {
        b"cpu" => Some(Limit::Cpu),
        b"memory" => Some(Limit::Memory),
        b"stack" => Some(Limit::Stack),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}
