//! How engine code is compiled and run: both sides have to agree on every setting, or the code does not load. `build.rs` reads
//! this file too.

use wasmtime::Config;

/// Address space of an isolate's memory: all that 32 bits can name, so that no access needs a check.
pub const RESERVED_BYTES: usize = 4 << 30;

/// Behind it nothing is mapped.
pub const GUARD_BYTES: usize = 32 << 20;

/// Stack of WebAssembly code; without wasmtime's async support it cannot be larger than 2 MiB.
const STACK_BYTES: usize = 1900 << 10;

/// The settings, for compiling and for running.
pub fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES);
    config.memory_reservation(RESERVED_BYTES as u64);
    config.memory_guard_size(GUARD_BYTES as u64);
    config.memory_may_move(false);
    config.guard_before_linear_memory(false);
    config.memory_init_cow(false);
    config.wasm_backtrace_max_frames(None);
    config
}
