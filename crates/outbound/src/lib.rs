//! The only crate that opens outgoing connections. An address is looked up once, every answer is checked, and the connection
//! goes to the address that was checked; redirects are not followed; time and size have limits. A connection can be kept for a few
//! seconds for the next request to the same place.
//!
//! Who names the address of a request is not trusted: administrators mistype, apps lie, DNS answers change.

mod address;
mod kept;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

pub use address::{AddressRules, InvalidNetwork, Network};
pub use http::Method;

/// How long things may take, and how large an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the beginning to the last byte of the answer.
    pub total: Duration,
    /// Bytes of the answer's body.
    pub answer_bytes: usize,
}

impl Default for Limits {
    /// 3 s, 10 s, 1 MiB.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10), answer_bytes: 1 << 20 }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where it goes: http or https, without a user.
    pub url: Url,
    /// Its headers; `Host` and `Content-Length` are set by the sender.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status; a redirect is one too.
    pub status: u16,
    /// Its headers, names in lower case; what is no text is left out.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no answer, in words for an administrator.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// No http or https address, or one with a user in it.
    #[error("is not an address that can be called; use https://")]
    BadAddress,
    /// The name leads nowhere.
    #[error("has a host name that cannot be found: {0}")]
    UnknownHost(String),
    /// An address that may not be called.
    #[error(
        "leads to {0}, which is not a public address. Add its network to [outbound] allow in the configuration if that is meant"
    )]
    Forbidden(std::net::IpAddr),
    /// Nobody listens, or the connection broke.
    #[error("did not answer: {0}")]
    Broken(String),
    /// The certificate does not hold.
    #[error("could not be trusted: {0}")]
    Tls(String),
    /// It took too long.
    #[error("did not answer in time")]
    TooSlow,
    /// More than is read.
    #[error("answered with more than {0} bytes")]
    TooLong(usize),
}

/// Sends requests.
#[derive(Clone)]
pub struct Outbound {
    rules: AddressRules,
    tls: Arc<ClientConfig>,
    kept: Arc<kept::Kept>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Trusts the certificate authorities that this machine does.
    ///
    /// # Errors
    /// When TLS cannot be set up, which it has no reason to.
    pub fn new(rules: AddressRules) -> Result<Self, OutboundError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate authority of this machine cannot be used");
        }
        roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OutboundError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { rules, tls: Arc::new(config), kept: Arc::default() })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// See [`OutboundError`]; any status is an answer.
    pub async fn send(&self, request: Request, limits: Limits) -> Result<Answer, OutboundError> {
        let end = Instant::now() + limits.total;
        let exchange = async {
            let place = Place::of(&request.url)?;
            let message = message(&request, &place)?;
            let mut line = self.open(&request.url, &place, limits).await?;
            line.ask(message, limits.answer_bytes).await
        };
        timeout_at(end, exchange).await.map_err(|_| OutboundError::TooSlow)?
    }

    /// The same over a connection that an earlier request left open, and leaves it open for the next. For requests that may be
    /// sent twice: one that the other side hung up on before it answered is sent again, once.
    ///
    /// # Errors
    /// As [`Outbound::send`].
    pub async fn send_kept(&self, request: Request, limits: Limits) -> Result<Answer, OutboundError> {
        let end = Instant::now() + limits.total;
        let exchange = async {
            let place = Place::of(&request.url)?;
            if let Some(mut line) = self.kept.take(&place) {
                match line.ask(message(&request, &place)?, limits.answer_bytes).await {
                    Err(OutboundError::Broken(_)) => {}
                    answer => {
                        if answer.is_ok() {
                            self.kept.put(place, line);
                        }
                        return answer;
                    }
                }
            }
            let mut line = self.open(&request.url, &place, limits).await?;
            let answer = line.ask(message(&request, &place)?, limits.answer_bytes).await?;
            self.kept.put(place, line);
            Ok(answer)
        };
        timeout_at(end, exchange).await.map_err(|_| OutboundError::TooSlow)?
    }

    async fn open(&self, url: &Url, place: &Place, limits: Limits) -> Result<Line, OutboundError> {
        let end = Instant::now() + limits.connect;
        let open = async {
            let stream = self.connect(url).await?;
            if !place.secure {
                return Line::over(TokioIo::new(stream)).await;
            }
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let secured = connector.connect(server_name(url)?, stream).await;
            Line::over(TokioIo::new(secured.map_err(|error| OutboundError::Tls(error.to_string()))?)).await
        };
        timeout_at(end, open).await.map_err(|_| OutboundError::TooSlow)?
    }

    /// Connects to an address that may be called. One forbidden address among several refuses all: whoever answers for the
    /// name chose to name it.
    async fn connect(&self, url: &Url) -> Result<TcpStream, OutboundError> {
        let port = url.port_or_known_default().ok_or(OutboundError::BadAddress)?;
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|error| OutboundError::UnknownHost(error.to_string()))?
                .collect(),
            None => return Err(OutboundError::BadAddress),
        };
        if let Some(address) = addresses.iter().find(|address| !self.rules.permit(address.ip())) {
            return Err(OutboundError::Forbidden(address.ip()));
        }
        let mut last = OutboundError::UnknownHost("no address".to_owned());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = OutboundError::Broken(error.to_string()),
            }
        }
        Err(last)
    }
}

fn server_name(url: &Url) -> Result<ServerName<'static>, OutboundError> {
    match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|_| OutboundError::BadAddress),
        Some(Host::Ipv4(address)) => Ok(ServerName::from(std::net::IpAddr::from(address))),
        Some(Host::Ipv6(address)) => Ok(ServerName::from(std::net::IpAddr::from(address))),
        None => Err(OutboundError::BadAddress),
    }
}

/// Where a connection leads: what has to be the same for one to be used again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    secure: bool,
    authority: String,
}

impl Place {
    fn of(url: &Url) -> Result<Self, OutboundError> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(OutboundError::BadAddress),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::BadAddress);
        }
        let authority = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(OutboundError::BadAddress),
        };
        Ok(Self { secure, authority })
    }
}

fn message(request: &Request, place: &Place) -> Result<http::Request<Full<Bytes>>, OutboundError> {
    let target = match request.url.query() {
        Some(query) => format!("{}?{query}", request.url.path()),
        None => request.url.path().to_owned(),
    };
    let mut message = http::Request::new(Full::new(Bytes::from(request.body.clone())));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = target.parse().map_err(|_| OutboundError::BadAddress)?;
    let headers = message.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| OutboundError::BadAddress);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Portcullis/", env!("CARGO_PKG_VERSION"))));
    for (name, text) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundError::BadAddress)?;
        headers.append(name, value(text)?);
    }
    headers.insert(HOST, value(&place.authority)?);
    if !request.body.is_empty() || request.method == Method::POST {
        headers.insert(CONTENT_LENGTH, request.body.len().into());
    }
    Ok(message)
}

/// An open connection. Dropping it closes it.
pub(crate) struct Line {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn broken(error: hyper::Error) -> OutboundError {
    OutboundError::Broken(error.to_string())
}

impl Line {
    async fn over<S>(stream: S) -> Result<Self, OutboundError>
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
        Ok(Self { sender, driver: tokio::spawn(connection) })
    }

    async fn ask(&mut self, message: http::Request<Full<Bytes>>, bytes_max: usize) -> Result<Answer, OutboundError> {
        self.sender.ready().await.map_err(broken)?;
        let answer = self.sender.send_request(message).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let headers = headers.collect();
        let body = Limited::new(answer.into_body(), bytes_max).collect().await.map_err(|error| {
            match error.downcast::<hyper::Error>() {
                Ok(error) => broken(*error),
                Err(_) => OutboundError::TooLong(bytes_max),
            }
        })?;
        Ok(Answer { status, headers, body: body.to_bytes().to_vec() })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::{AddressRules, Limits, Method, Outbound, OutboundError, Request};

    fn get(url: &str) -> Request {
        Request { method: Method::GET, url: url.parse().unwrap(), headers: Vec::new(), body: Vec::new() }
    }

    /// Answers every connection with these bytes, and then waits.
    async fn server(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(answer).await;
                    tokio::time::sleep(Duration::from_secs(30)).await;
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn private_addresses_are_refused_before_a_byte_is_sent() {
        let outbound = Outbound::new(AddressRules::default()).unwrap();
        let port = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        for url in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            format!("http://2130706433:{port}/"),
            format!("http://0x7f.1:{port}/"),
            "http://169.254.169.254/latest/meta-data".to_owned(),
        ] {
            let refused = outbound.send(get(&url), Limits::default()).await;
            assert!(matches!(refused, Err(OutboundError::Forbidden(_))), "{url}: {refused:?}");
        }
        for url in ["ftp://example.org/", "file:///etc/passwd", "http://user@example.org/", "http://u:p@example.org/"] {
            let refused = outbound.send(get(url), Limits::default()).await;
            assert!(matches!(refused, Err(OutboundError::BadAddress)), "{url}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_one_that_was_hung_up_on_is_made_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&connections);
        tokio::spawn(async move {
            // Each connection answers twice and is closed when the third request comes.
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut buffer = [0; 4096];
                for _ in 0..2 {
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
                }
                let _ = stream.read(&mut buffer).await;
            }
        });
        let outbound = Outbound::new(AddressRules::default().and_loopback()).unwrap();
        for _ in 0..4 {
            assert_eq!(outbound.send_kept(get(&url), Limits::default()).await.unwrap().status, 200);
        }
        assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 2);
        let forbidding = Outbound::new(AddressRules::default()).unwrap();
        let refused = forbidding.send_kept(get(&url), Limits::default()).await;
        assert!(matches!(refused, Err(OutboundError::Forbidden(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn answers_are_bounded_in_time_and_size_and_redirects_are_not_followed() {
        let outbound = Outbound::new(AddressRules::default().and_loopback()).unwrap();
        let limits = Limits { total: Duration::from_millis(300), answer_bytes: 10, ..Limits::default() };
        let ask = async |answer: &'static [u8]| {
            let url = format!("http://127.0.0.1:{}/", server(answer).await);
            outbound.send(get(&url), limits).await
        };
        let good = ask(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        assert_eq!((good.status, good.body.as_slice()), (200, b"hi".as_slice()));
        let away = ask(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(away.unwrap().status, 302);
        let long = ask(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world").await;
        assert!(matches!(long, Err(OutboundError::TooLong(10))), "{long:?}");
        let endless = ask(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        assert!(matches!(endless, Err(OutboundError::TooSlow)), "{endless:?}");
        assert!(matches!(ask(b"").await, Err(OutboundError::TooSlow)));
        assert!(matches!(ask(b"not http\r\n\r\n").await, Err(OutboundError::Broken(_))));
        let closed = outbound.send(get("http://127.0.0.1:1/"), limits).await;
        assert!(matches!(closed, Err(OutboundError::Broken(_))), "{closed:?}");
    }
}
