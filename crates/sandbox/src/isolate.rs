//! One isolate: the engine in the slot's memory, and what it said.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use wasmtime::{Caller, Engine, Error, InstancePre, Linker, Memory, Module, Store, Trap, TypedFunc};

use crate::ask;
use crate::frame::{Connection, to_server};
use crate::memory::{Slot, Slots};
use crate::shape;

/// Machine code of the engine, made by `build.rs`.
static ENGINE_CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.cwasm"));

/// Processor time between two looks at whether an isolate may go on, in microseconds.
const TICK_US: i64 = 5_000;

/// Timers that an isolate may have waiting.
const TIMERS_MAX: usize = 10_000;

/// What an isolate left behind for its worker.
pub(crate) struct Guest {
    connection: Connection<'static>,
    memory: Option<Memory>,
    answer: Vec<u8>,
    /// When which timer is due, in milliseconds of the monotonic clock.
    timers: Vec<(u64, u32)>,
    host_calls_open: usize,
    ended: bool,
    /// The connection is gone, or the isolate said what no isolate says.
    broken: bool,
}

impl Guest {
    fn new(socket: BorrowedFd<'static>) -> Self {
        Self {
            connection: Connection::new(socket),
            memory: None,
            answer: Vec::new(),
            timers: Vec::new(),
            host_calls_open: 0,
            ended: false,
            broken: false,
        }
    }

    fn said(&mut self, message: &[u8]) {
        let Some((kind, content)) = message.split_first() else {
            self.broken = true;
            return;
        };
        match *kind {
            _ if self.ended => return,
            to_server::HOST_CALL => self.host_calls_open += 1,
            to_server::LOG => {}
            to_server::RESULT | to_server::THROWN | to_server::EXCEPTION => self.ended = true,
            b'T' => {
                self.broken |= !self.start_timer(content);
                return;
            }
            _ => {
                self.broken = true;
                return;
            }
        }
        self.broken |= self.connection.send(*kind, content).is_err();
    }

    /// `id milliseconds`; without milliseconds the timer is stopped.
    fn start_timer(&mut self, content: &[u8]) -> bool {
        let mut words = std::str::from_utf8(content).unwrap_or_default().split(' ');
        let Some(Ok(id)) = words.next().map(str::parse::<u32>) else { return false };
        match words.next().map(str::parse::<u64>) {
            Some(Ok(after_ms)) => self.timers.push((now_ms().saturating_add(after_ms), id)),
            Some(Err(_)) => return false,
            None => self.timers.retain(|(_, running)| *running != id),
        }
        self.timers.len() <= TIMERS_MAX
    }
}

/// Loaded engine code, ready to be put into memory.
pub(crate) struct Isolates {
    engine: Engine,
    prepared: InstancePre<Guest>,
    slot: Arc<Slot>,
    socket: BorrowedFd<'static>,
}

/// Why an isolate stopped without a word of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It used its processor time up.
    Time,
    /// It nested deeper than its stack is: the C stack lies at the low end of its memory, and below it is nothing.
    Stack,
    /// It did what cannot happen to an engine that works: the worker ends with it.
    Trap(String),
}

impl Isolates {
    pub fn load(slot: Arc<Slot>, socket: BorrowedFd<'static>) -> Result<Self, Error> {
        let mut config = shape::config();
        config.with_host_memory(Arc::new(Slots(Arc::clone(&slot))));
        let engine = Engine::new(&config)?;
        // SAFETY: the bytes are those that build.rs had from wasmtime; they are part of this program.
        let module = unsafe { Module::deserialize(&engine, ENGINE_CODE)? };
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "send", |mut caller: Caller<'_, Guest>, at: u32, length: u32| {
            let Some(memory) = caller.data().memory else { return };
            let (bytes, guest) = memory.data_and_store_mut(&mut caller);
            match bytes.get(at as usize..).and_then(|rest| rest.get(..length as usize)) {
                Some(message) => guest.said(message),
                None => guest.broken = true,
            }
        })?;
        linker.func_wrap("host", "ask", |mut caller: Caller<'_, Guest>, at: u32, length: u32| {
            let Some(memory) = caller.data().memory else { return 0 };
            let (bytes, guest) = memory.data_and_store_mut(&mut caller);
            let question = bytes.get(at as usize..).and_then(|rest| rest.get(..length as usize)).unwrap_or_default();
            guest.answer = ask::answer(question);
            u32::try_from(guest.answer.len()).unwrap_or(0)
        })?;
        linker.func_wrap("host", "take", |mut caller: Caller<'_, Guest>, at: u32| {
            let Some(memory) = caller.data().memory else { return };
            let answer = std::mem::take(&mut caller.data_mut().answer);
            // A place outside its memory is the isolate's loss.
            let _ = memory.write(&mut caller, at as usize, &answer);
        })?;
        // As coarse as a browser's, so that it measures nothing about its neighbours.
        linker.func_wrap("env", "__rquickjs_host_now_us", || {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            (now.tv_sec * 1_000 + now.tv_nsec / 1_000_000) as f64 * 1_000.0
        })?;
        let prepared = linker.instantiate_pre(&module)?;
        // The first look at a clock finds out where the kernel keeps it, by calls that a locked worker cannot make.
        now_ms();
        Ok(Self { engine, prepared, slot, socket })
    }

    /// Starts the clock of processor time. Signals fall only on work.
    pub fn start_ticking(&self) {
        static TICKED: AtomicPtr<Engine> = AtomicPtr::new(std::ptr::null_mut());
        extern "C" fn tick(_: libc::c_int) {
            // SAFETY: null, or an engine that was leaked below. Raising the epoch is one atomic addition.
            if let Some(engine) = unsafe { TICKED.load(Ordering::Relaxed).as_ref() } {
                engine.increment_epoch();
            }
        }
        TICKED.store(Box::leak(Box::new(self.engine.clone())), Ordering::Relaxed);
        let every = libc::timeval { tv_sec: 0, tv_usec: TICK_US };
        // SAFETY: the handler does only what a signal handler may; both structures are complete.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = tick as *const () as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut());
            let timer = libc::itimerval { it_interval: every, it_value: every };
            libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut());
        }
    }

    /// A fresh isolate of the image that is bound.
    pub fn fresh(&self, cpu_ms_max: u64) -> Result<Isolate, Error> {
        let mut store = Store::new(&self.engine, Guest::new(self.socket));
        store.set_epoch_deadline(cpu_ms_max.saturating_mul(1_000).div_ceil(TICK_US as u64).max(1));
        let instance = self.prepared.instantiate(&mut store)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| Error::msg("no memory"))?;
        store.data_mut().memory = Some(memory);
        Ok(Isolate {
            room: instance.get_typed_func(&mut store, "sandbox_room")?,
            message: instance.get_typed_func(&mut store, "sandbox_message")?,
            run: instance.get_typed_func(&mut store, "sandbox_run")?,
            ready: instance.get_typed_func(&mut store, "sandbox_ready")?,
            memory,
            store,
            slot: Arc::clone(&self.slot),
        })
    }
}

/// An isolate that runs. Dropping it restores the image.
pub(crate) struct Isolate {
    store: Store<Guest>,
    memory: Memory,
    room: TypedFunc<u32, u32>,
    message: TypedFunc<(u32, u32), i32>,
    run: TypedFunc<(u32, u32, u32), i32>,
    ready: TypedFunc<(), i32>,
    slot: Arc<Slot>,
}

impl Isolate {
    /// Hands a message to its JavaScript, which runs until it waits.
    pub fn tell(&mut self, message: &[u8]) -> Result<(), Stopped> {
        let result = self.place(message).and_then(|at| self.message.call(&mut self.store, (at, length_of(message)?)));
        self.judge(result.map(|_| ()))
    }

    /// Runs code before a snapshot. False when it threw, which was told.
    pub fn evaluate(&mut self, name: &[u8], code: &[u8]) -> Result<bool, Stopped> {
        let both = [name, b"\0", code].concat();
        let result = self.place(&both).and_then(|at| {
            if self.run.call(&mut self.store, (at, length_of(name)?, length_of(code)?))? != 0 {
                return Ok(false);
            }
            Ok(self.ready.call(&mut self.store, ())? == 0)
        });
        self.judge(result)
    }

    /// All of its memory.
    pub fn image(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// A word about how it ended was said.
    pub fn has_ended(&self) -> bool {
        self.store.data().ended
    }

    /// Nothing can come any more that it waits for.
    pub fn is_stalled(&self) -> bool {
        self.store.data().host_calls_open == 0 && self.store.data().timers.is_empty()
    }

    /// Whether it was refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.slot.take_refused_growth()
    }

    /// An answer to a host call is about to be told.
    pub fn answered(&mut self) {
        let open = &mut self.store.data_mut().host_calls_open;
        *open = open.saturating_sub(1);
    }

    /// Milliseconds until the next timer.
    pub fn next_timer_ms(&self) -> Option<u64> {
        let (due, _) = self.store.data().timers.iter().min()?;
        Some(due.saturating_sub(now_ms()))
    }

    /// The timer that is due.
    pub fn take_due_timer(&mut self) -> Option<u32> {
        let timers = &mut self.store.data_mut().timers;
        let (at, (due, id)) = timers.iter().copied().enumerate().min_by_key(|(_, timer)| *timer)?;
        if due > now_ms() {
            return None;
        }
        timers.remove(at);
        Some(id)
    }

    fn place(&mut self, message: &[u8]) -> Result<u32, Error> {
        let at = self.room.call(&mut self.store, length_of(message)?)?;
        if at == 0 {
            return Err(Error::msg("out of memory"));
        }
        self.memory.write(&mut self.store, at as usize, message)?;
        self.memory.write(&mut self.store, at as usize + message.len(), b"\0")?;
        Ok(at)
    }

    fn judge<T>(&self, result: Result<T, Error>) -> Result<T, Stopped> {
        match result {
            Ok(_) if self.store.data().broken => Err(Stopped::Trap("the isolate broke the protocol".to_owned())),
            Ok(value) => Ok(value),
            Err(error) => Err(match error.downcast_ref::<Trap>() {
                Some(Trap::Interrupt) => Stopped::Time,
                Some(Trap::StackOverflow | Trap::MemoryOutOfBounds) => Stopped::Stack,
                _ => Stopped::Trap(format!("{error:#}")),
            }),
        }
    }
}

fn length_of(message: &[u8]) -> Result<u32, Error> {
    u32::try_from(message.len()).map_err(Error::new)
}

fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000 + now.tv_nsec / 1_000_000).unwrap_or(0)
}
