//! A worker by itself, for tests and benches of this crate; the server brings its own. `sandbox-worker probe WHAT` locks itself in
//! as a worker does and tries what no worker may.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => portcullis_sandbox::worker::main(),
        ["probe", what] => portcullis_sandbox::worker::behind_walls().map(|()| probe(what)),
        _ => Err("usage: sandbox-worker [probe WHAT]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sandbox worker: {why}");
            ExitCode::FAILURE
        }
    }
}

fn probe(what: &str) {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
    let call = |number: libc::c_long| {
        // SAFETY: no argument of these calls is an address.
        let _ = unsafe { libc::syscall(number, 0, 0, 0, 0, 0) };
    };
    let page = || {
        // SAFETY: a new mapping touches nothing that exists.
        unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                4096,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
    };
    match what {
        "nothing" => drop(page()),
        "open" => drop(std::fs::read("/etc/passwd")),
        "create" => drop(std::fs::write("/tmp/portcullis-probe", "x")),
        "remove" => drop(std::fs::remove_file("/tmp/portcullis-probe")),
        "list" => drop(std::fs::read_dir("/")),
        "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        "connect" => drop(std::net::TcpStream::connect("127.0.0.1:1")),
        "listen" => drop(std::net::TcpListener::bind("127.0.0.1:0")),
        "execute" => drop(std::process::Command::new("/bin/true").status()),
        "fork" => call(libc::SYS_clone),
        "thread" => drop(std::thread::Builder::new().spawn(|| {})),
        "kill" => call(libc::SYS_kill),
        "trace" => call(libc::SYS_ptrace),
        "executable-memory" => {
            if let Ok(page) = page() {
                // SAFETY: the page is this function's own.
                let _ = unsafe { rustix::mm::mprotect(page, 4096, MprotectFlags::READ | MprotectFlags::EXEC) };
            }
        }
        "executable-mapping" => {
            // SAFETY: a new mapping touches nothing that exists.
            let _ = unsafe {
                rustix::mm::mmap_anonymous(
                    std::ptr::null_mut(),
                    4096,
                    ProtFlags::READ | ProtFlags::EXEC,
                    MapFlags::PRIVATE,
                )
            };
        }
        "io-uring" => call(libc::SYS_io_uring_setup),
        "mount" => call(libc::SYS_mount),
        "unshare" => call(libc::SYS_unshare),
        "read-memory" => call(libc::SYS_process_vm_readv),
        "signal-handler" => call(libc::SYS_rt_sigaction),
        "more-privileges" => call(libc::SYS_prctl),
        "limits" => call(libc::SYS_prlimit64),
        _ => {}
    }
}
