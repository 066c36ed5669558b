//! Runs the program and talks HTTP to it. Everything made here is gone when its value is dropped.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::Value as Json;

/// How long anything may take before the test gives up; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// Polls until there is something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(POLL);
    }
}

/// A folder of the test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("program-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Every file with its bytes.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, out);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    out.push((path, bytes));
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.0, &mut out);
        out.sort();
        out
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).env_remove("PORTCULLIS_LOG").env("USER", "tester");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn portcullis<S: AsRef<OsStr>>(arguments: &[S]) -> Done {
    let output = command(arguments).output().unwrap();
    let done = Done {
        status: output.status.code().expect("not ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!done.out.contains('\u{1b}') && !done.err.contains('\u{1b}'), "colour without a terminal: {done:?}");
    done
}

impl Done {
    /// What it printed, when all went well.
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        assert_eq!(self.err, "", "an errand of less than a second is silent: {self:?}");
        self.out
    }

    pub fn json(self) -> Json {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// The one line of a refusal or failure.
    pub fn refused(self) -> String {
        assert_eq!(self.status, 1, "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        self.err.trim_end().strip_prefix("portcullis: ").unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// Starts a command whose output nobody reads.
pub fn unread<S: AsRef<OsStr>>(arguments: &[S]) -> Done {
    let mut child = command(arguments).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    Done { status: child.wait().unwrap().code().unwrap(), out: String::new(), err }
}

/// A person of the demo.
#[derive(Clone)]
pub struct Person {
    authorization: String,
}

impl Person {
    fn new(email: &str, token: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{email}:{token}"));
        Self { authorization: format!("Basic {pair}") }
    }
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// The demo's card.
    pub card: Json,
    lines: Receiver<String>,
}

impl Server {
    /// Starts `demo` on a free port and waits for its card.
    pub fn demo(data: &Path, more: &[&str]) -> Self {
        let card = data.join("card.json");
        // So that the card of an earlier start is not taken for this one's.
        let _ = fs::remove_file(&card);
        let mut server = Self::start_demo(data, more);
        server.card = server.wait("a card", |_| {
            let text = fs::read_to_string(&card).ok()?;
            Some(serde_json::from_str(&text).expect("a card appears whole"))
        });
        let base_url = server.card["base_url"].as_str().unwrap();
        server.address = base_url.strip_prefix("http://").unwrap().parse().unwrap();
        server
    }

    /// Starts `demo` on a free port.
    pub fn start_demo(data: &Path, more: &[&str]) -> Self {
        Self::start(demo_arguments(data, more))
    }

    /// Starts `serve` and waits until it says where.
    pub fn serve(config: &Path) -> Self {
        let mut server = Self::start(vec!["serve".into(), "--config".into(), config.into()]);
        server.address = server.wait("the address in the log", |server| {
            let line: Json = serde_json::from_str(&server.lines.try_recv().ok()?).expect("the log is JSON");
            (line["message"] == "serving").then(|| line["address"].as_str().unwrap().parse().unwrap())
        });
        server
    }

    fn start(arguments: Vec<PathBuf>) -> Self {
        let mut child = command(&arguments).spawn().unwrap();
        let (mut out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let (line, lines) = channel();
        thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), card: Json::Null, lines }
    }

    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        wait_for(what, || {
            let found = look(self);
            if found.is_none()
                && let Some(status) = self.child.try_wait().unwrap()
            {
                panic!("{status} while waiting for {what}: {:?}", self.lines.try_iter().collect::<Vec<_>>());
            }
            found
        })
    }

    pub fn person(&self, name: &str) -> Person {
        let people = self.card["people"].as_array().unwrap();
        let person = people.iter().find(|person| person["name"] == name).unwrap();
        let text = |member: &str| person[member].as_str().unwrap();
        Person::new(text("email"), text("api_token"))
    }

    pub fn get(&self, person: &Person, path: &str) -> (u16, Json) {
        Client::connect(self.address).unwrap().send(Some(person), "GET", path, None).unwrap()
    }

    pub fn anonymous(&self, path: &str) -> (u16, Json) {
        Client::connect(self.address).unwrap().send(None, "GET", path, None).unwrap()
    }

    /// Every value of a paged list.
    pub fn all(&self, person: &Person, path: &str) -> Vec<Json> {
        let mut values = Vec::new();
        loop {
            let (status, page) = self.get(person, &format!("{path}&maxResults=500&startAt={}", values.len()));
            assert_eq!(status, 200, "{page}");
            let some = page["values"].as_array().unwrap();
            values.extend_from_slice(some);
            if some.is_empty() || values.len() as u64 >= page["total"].as_u64().unwrap() {
                return values;
            }
        }
    }

    /// Asks it to stop, as an init system does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Ends it as a power cut would.
    pub fn cut(&self) {
        self.signal("KILL");
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        wait_for("the server's end", || self.child.try_wait().unwrap())
    }

    pub fn stop(self) {
        self.terminate();
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn demo_arguments(data: &Path, more: &[&str]) -> Vec<PathBuf> {
    let mut arguments: Vec<PathBuf> = ["demo", "--listen", "127.0.0.1:0", "--data"].iter().map(PathBuf::from).collect();
    arguments.push(data.to_owned());
    arguments.extend(more.iter().map(PathBuf::from));
    arguments
}

/// One connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(
        &mut self,
        person: Option<&Person>,
        method: &str,
        path: &str,
        body: Option<&Json>,
    ) -> std::io::Result<(u16, Json)> {
        let body = body.map(Json::to_string).unwrap_or_default();
        let mut request = head(person, method, path, body.len());
        request.push_str("\r\n");
        request.push_str(&body);
        self.write(&request)?;
        self.answer()
    }

    pub fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// Reads a whole answer; an empty body is null.
    pub fn answer(&mut self) -> std::io::Result<(u16, Json)> {
        let (status, length) = self.answer_head()?;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let text = || if body.is_empty() { Json::Null } else { String::from_utf8_lossy(&body).into() };
        Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
    }

    /// Reads the status and the length of the body.
    pub fn answer_head(&mut self) -> std::io::Result<(u16, usize)> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        Ok((status, length.unwrap_or(0)))
    }
}

/// A request's head up to its last header.
pub fn head(person: Option<&Person>, method: &str, path: &str, body_bytes: usize) -> String {
    let credential = person.map(|person| format!("Authorization: {}\r\n", person.authorization)).unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{credential}Content-Type: application/json\r\nContent-Length: {body_bytes}\r\n"
    )
}
