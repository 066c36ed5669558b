//! A worker by itself, for tests and benches of this crate; the server brings its own.

fn main() {
    if let Err(why) = portcullis_sandbox::worker::main() {
        eprintln!("sandbox worker: {why}");
        std::process::exit(1);
    }
}
