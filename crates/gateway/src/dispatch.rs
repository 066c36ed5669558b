//! One request from head to answer, in the order that Jira's own edge checks things: method and path, media type, credential,
//! cross-site rules, body, operation.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HeaderMap;
use http_body_util::Full;
use portcullis_authz::{Area, Locate, Operation, Row, op};
use portcullis_guard::{
    Body, Caller, Guard, Handlers, Input, Refusal, RefusalKind, Reply, ReplyBody, RequestHead, Stop,
};
use portcullis_model::{Problem, Surface};
use serde_json::{Value as Json, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::accept::{self, BodyKind};
use crate::body::{self, BadBody};
use crate::config::Config;
use crate::cors;
use crate::emulator::{Fault, FaultKind, Faults};
use crate::errors::{self, Shape};
use crate::head;
use crate::metrics::Metrics;
use crate::openapi;
use crate::pages;
use crate::response;
use crate::response::Response;
use crate::roles::Place;
use crate::routes::{Found, Routes, normalise};
use crate::trail::Trail;

/// A request as hyper, or a test, hands it over.
pub type Request<B> = http::Request<B>;

/// The cookie that carries a browser session.
pub const SESSION_COOKIE: &str = portcullis_console::SESSION_COOKIE;

/// Largest body of a request to the authorization server, in bytes.
const PARAMETERS_BYTES_MAX: usize = 64 << 10;

/// The edge: route table, handlers, guard.
pub struct Gateway {
    guard: Guard,
    handlers: Handlers,
    routes: Routes,
    config: Config,
    metrics: Metrics,
    faults: Faults,
    rates: Mutex<HashMap<String, (u64, u32)>>,
    room: body::Room,
    started: Instant,
    sandbox: OnceLock<String>,
}

/// A longer `X-Atlassian-Webhook-Trace` is as if there were none.
const TRACE_CHARACTERS_MAX: usize = 1_024;

impl Gateway {
    /// Says once, for `/readyz?verbose`, what stands around apps' code.
    pub fn note_sandbox(&self, words: String) {
        let _ = self.sandbox.set(words);
    }

    /// Puts the edge together.
    pub fn new(guard: Guard, handlers: Handlers, config: Config) -> Self {
        guard.announce(&handlers);
        Self {
            guard,
            handlers,
            routes: Routes::build(),
            config,
            metrics: Metrics::default(),
            faults: Faults::default(),
            rates: Mutex::new(HashMap::new()),
            room: body::Room::default(),
            started: Instant::now(),
            sandbox: OnceLock::new(),
        }
    }

    /// The bounds and addresses in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The guard behind it.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Which rows have a handler, by number.
    pub fn built(&self) -> Vec<u16> {
        self.handlers.numbers().collect()
    }

    /// Runs an operation as the operator at the command line, through the same handlers and into the same audit log.
    ///
    /// # Errors
    /// Status and text, as the operation would answer over HTTP.
    pub async fn operate(
        &self,
        operator: &str,
        method: &http::Method,
        path_and_query: &str,
        body: Option<Json>,
    ) -> Result<Reply, (u16, String)> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let found = normalise(path).map(|path| self.routes.find(method, &path));
        let Some(Found::Row(row, params, version)) = found else {
            return Err((404, format!("No operation {method} {path}.")));
        };
        let caller = self.guard.operator(operator);
        let request_id = caller.request_id().to_owned();
        let body = body.map_or(Body::Empty, Body::Json);
        let input = Input::new(params, head::pairs(query), body, version, self.config.base_url.clone());
        let result = match self.handlers.of(row) {
            Some(handler) => handler(self.guard.clone(), caller, input).await,
            None => self.guard.run_unbuilt(row, &caller, &input).await,
        };
        result.map_err(|stop| {
            let shape = match stop {
                Stop::Refused(refusal) => {
                    errors::refusal(&refusal, Surface::Management, None, &self.config.base_url, true)
                }
                Stop::Problem(problem) => {
                    if let Some(cause) = &problem.cause {
                        log_cause(&request_id, row.id, cause.as_ref());
                    }
                    errors::problem(&problem, path, &request_id)
                }
            };
            (shape.status, shape.text)
        })
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>, address: Option<IpAddr>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = Instant::now();
        let mut trail = Trail {
            request_id: self.guard.fresh_id(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            accept: head::text(request.headers(), "accept").map(str::to_owned),
            operation: "none",
            access: "anonymous",
            account_id: None,
            failed_login: false,
            decision: None,
            reason: "",
            surface: Surface::Site,
            query: request.uri().query().map(str::to_owned),
            readable_by: None,
            remaining: None,
        };
        let range = head::text(request.headers(), "range").map(str::to_owned);
        let answered =
            tokio::time::timeout(self.config.request_timeout, self.answer(request, address, &mut trail)).await;
        let mut response = match answered {
            Ok(Ok(reply)) => response::of_reply(reply, range.as_deref()),
            Ok(Err(shape)) => response::shaped(shape),
            Err(_) => {
                response::shaped(errors::messages(503, &["The request took too long and was stopped.".to_owned()], &[]))
            }
        };
        if trail.method == http::Method::HEAD {
            *response.body_mut() = Full::default();
        }
        response::put_headers(&mut response, &trail, self.config.emulator.is_some(), self.config.tls.is_some());
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics.observe(trail.operation, response.status().as_u16(), took_us);
        tracing::info!(
            target: "request",
            request_id = %trail.request_id,
            method = %trail.method,
            operation = trail.operation,
            access_kind = trail.access,
            status = response.status().as_u16(),
            reason = trail.reason,
            took_us,
        );
        response
    }

    async fn answer<B>(&self, request: Request<B>, address: Option<IpAddr>, trail: &mut Trail) -> Result<Reply, Shape>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, raw_body) = request.into_parts();
        let head_bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if head_bytes + parts.uri.path().len() > self.config.head_bytes_max {
            let detail = format!("The headers are larger than {} bytes.", self.config.head_bytes_max);
            return Err(errors::problem_document(431, "Request Header Fields Too Large", &detail, &trail.path));
        }
        let bad_request = |detail: &str| errors::problem_document(400, "Bad Request", detail, &trail.path);
        let Some(full_path) = normalise(parts.uri.path()) else {
            return Err(bad_request("The request URI is improperly formed."));
        };
        match parts.method.as_str() {
            "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" => {}
            "TRACE" | "CONNECT" => {
                return Err(self.other_methods(trail, &["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]));
            }
            other => return Err(bad_request(&format!("Method '{other}' is not supported."))),
        }
        // RFC 9112, section 3.2. What stands in front of us may have read the other one.
        if head::single(&parts.headers, "host").is_err() {
            return Err(bad_request("The Host header may stand only once."));
        }
        if let Some(hosts) = &self.config.hosts {
            match hosts.place(&parts.headers, &full_path) {
                Place::Here => {}
                Place::Elsewhere => {
                    return Err(errors::problem_document(404, "Not Found", "Not on this host.", &full_path));
                }
                Place::Misdirected => {
                    let detail = "This server has no such host name.";
                    return Err(errors::problem_document(421, "Misdirected Request", detail, &full_path));
                }
            }
        }
        let (surface, path, base_url) = match self.surface_of(full_path) {
            Ok(found) => found,
            Err(shape) => return Err(self.other_site(shape, &parts, address, trail).await),
        };
        trail.surface = surface;
        let query = head::pairs(parts.uri.query().unwrap_or_default());
        if query.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(bad_request(body::NUL));
        }
        let headers = &parts.headers;
        if parts.method == http::Method::OPTIONS
            && let Some(reply) = cors::preflight(&self.guard, &self.routes, surface, &path, headers)
        {
            return Ok(reply);
        }
        let (row, params, version) = match self.routes.find(&parts.method, &path) {
            Found::Row(row, params, version) => (row, params, version),
            Found::OtherMethods(methods) if parts.method == http::Method::OPTIONS => {
                return Ok(Reply::empty(200).with_header("allow", methods.join(", ")));
            }
            Found::OtherMethods(methods) => return Err(self.other_methods(trail, &methods)),
            Found::Nothing => return Err(self.unknown_path(trail, headers, address, &base_url).await),
        };
        if row.path.starts_with("/_emulator") && self.config.emulator.is_none() {
            return Err(self.unknown_path(trail, headers, address, &base_url).await);
        }
        trail.operation = row.id;
        match row.area {
            Area::Console => trail.surface = Surface::Console,
            Area::Management => trail.surface = Surface::Management,
            Area::Authorization => trail.surface = Surface::Authorization,
            Area::Gateway => trail.surface = Surface::Gateway,
            Area::Jira | Area::Site | Area::Operations => {}
        }
        if row.area == Area::Authorization {
            trail.readable_by = cors::readable_by(&self.guard, row, headers);
        }
        let media = accept::media_type(headers);
        let announces_body = accept::announces_body(headers);
        let body_kind = accept::body_kind(row, media.as_deref(), announces_body, trail)
            .map_err(|shape| errors::for_area(row.area, shape))?;
        if row.area == Area::Console
            && row.method != portcullis_authz::Method::Get
            && self.is_from_another_site(headers)
        {
            return Err(pages::from_elsewhere(&trail.request_id));
        }
        // What is handed on is for whom it is handed to; nobody here is proven by it.
        let proofs = if accept::relays(row) { &HeaderMap::new() } else { headers };
        let caller = self.authenticate(row, proofs, address, trail, &base_url).await?;
        if let Some(kind) = self.faults.meet(row.id, &trail.path).filter(|_| row.area != Area::Operations) {
            self.suffer(kind).await?;
        }
        self.rate(row, &caller, trail)?;
        if matches!(body_kind, BodyKind::Multipart) && !accept::is_no_check(headers) {
            let stop = self.guard.refuse_at_edge(row, &caller, RefusalKind::CrossSite);
            return Err(self.stopped(stop, trail, &base_url));
        }
        let read = self.body(raw_body, body_kind, headers, &caller).await;
        let (body, _room) = read.map_err(|shape| errors::for_area(row.area, shape))?;
        let mut input = Input::new(params, query, body, version, base_url);
        if accept::relays(row) {
            input = input.relaying(head::relayed(&parts.method, headers));
        }
        self.carry_out(row, caller, input, trail).await
    }

    /// What is left once it is known who asks, and for what.
    pub(crate) async fn carry_out(
        &self,
        row: &'static Row,
        caller: Caller,
        input: Input,
        trail: &mut Trail,
    ) -> Result<Reply, Shape> {
        accept::check_conversions(input.query_pairs(), &trail.path)?;
        accept::check_located_body(row, input.body())?;
        if row.area == Area::Console && !matches!(row.method, portcullis_authz::Method::Get) && row.open.is_none() {
            accept::check_form_token(&caller, row, input.body())?;
        }
        if let Some(reply) = self.own(row, &caller, &input).await? {
            return Ok(reply);
        }
        let base_url = input.base_url().to_owned();
        if row.area == Area::Console
            && self.guard.wants_fresh_proof(row, &caller)
            && let Some(asked) = self.ask_who_is_there(&caller, &input, trail).await?
        {
            return Ok(asked);
        }
        let result = match self.handlers.of(row) {
            Some(handler) => handler(self.guard.clone(), caller, input).await,
            None => self.guard.run_unbuilt(row, &caller, &input).await,
        };
        result.map_err(|stop| self.stopped(stop, trail, &base_url))
    }

    /// Has the person prove anew who they are, by what the form brings; the page that asks for it, until it does. The form itself has
    /// been proven to be ours.
    async fn ask_who_is_there(
        &self,
        caller: &Caller,
        input: &Input,
        trail: &mut Trail,
    ) -> Result<Option<Reply>, Shape> {
        let Some(handler) = self.handlers.of(<op::ConsoleConfirm as Operation>::ROW) else { return Ok(None) };
        let params = vec![("action".to_owned(), trail.path.clone())];
        let base_url = input.base_url().to_owned();
        let asked = Input::new(params, Vec::new(), input.body().clone(), input.version(), base_url.clone());
        let answer = handler(self.guard.clone(), caller.clone(), asked).await;
        let reply = answer.map_err(|stop| self.stopped(stop, trail, &base_url))?;
        Ok((reply.status != 303).then_some(reply))
    }

    /// The row of a path, with its parameters.
    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Found {
        self.routes.find(method, path)
    }

    /// The surface a path belongs to, the path on it, and where its links start.
    fn surface_of(&self, full_path: String) -> Result<(Surface, String, String), Shape> {
        let Some(rest) = full_path.strip_prefix("/ex/jira/") else {
            return Ok((Surface::Site, full_path, self.config.base_url.clone()));
        };
        let (cloud_id, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (_, own) = self.guard.site();
        // Only the REST API is behind the gateway: pages and management are the site's own.
        if cloud_id != own || !path.starts_with("rest/") {
            return Err(errors::problem_document(404, "Not Found", "No such site or path.", &full_path));
        }
        let base_url = self.guard.addresses().gateway(cloud_id);
        Ok((Surface::Gateway, format!("/{path}"), base_url))
    }

    /// Another site's address at the gateway: an app that has proven itself is told that it is not installed there, as at every
    /// site that it has no grant for, whether it exists or not.
    async fn other_site(
        &self,
        absent: Shape,
        parts: &http::request::Parts,
        address: Option<IpAddr>,
        trail: &mut Trail,
    ) -> Shape {
        let bearer = head::text(&parts.headers, "authorization").is_some_and(|text| text.starts_with("Bearer "));
        let row = portcullis_authz::op::ROWS.iter().find(|row| row.id == "gatewayAccessibleResources");
        let (true, Some(row)) = (bearer, row) else { return absent };
        trail.surface = Surface::Gateway;
        let base_url = self.guard.addresses().api.clone();
        match self.authenticate(row, &parts.headers, address, trail, &base_url).await {
            Ok(_) => errors::not_installed(),
            Err(refused) => refused,
        }
    }

    fn other_methods(&self, trail: &Trail, methods: &[&'static str]) -> Shape {
        let detail = format!("Method '{}' is not supported.", trail.method);
        let mut out = errors::problem_document(405, "Method Not Allowed", &detail, &trail.path);
        out.headers.push(("allow", methods.join(", ")));
        out
    }

    /// An unknown path: the gate for nobody, 404 for everyone else.
    async fn unknown_path(
        &self,
        trail: &mut Trail,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        base_url: &str,
    ) -> Shape {
        let own_account = portcullis_authz::op::ROWS.iter().find(|row| row.id == "portcullisCurrentSession");
        if let (true, Some(row)) = (trail.path.starts_with("/rest/"), own_account)
            && let Ok(caller) = self.authenticate(row, headers, address, trail, base_url).await
            && caller.user().is_none()
        {
            return errors::gate(trail.accept.as_deref(), base_url);
        }
        let detail = format!("No endpoint {} {}.", trail.method, trail.path);
        errors::problem_document(404, "Not Found", &detail, &trail.path)
    }

    fn own_origin(&self, headers: &HeaderMap) -> String {
        let scheme = self.config.base_url.split("://").next().unwrap_or("http");
        format!("{scheme}://{}", head::text(headers, "host").unwrap_or_default())
    }

    /// Whether the browser says that a page of another site made the request. Signing in has no session yet whose form token
    /// could prove the page, and must not be done for somebody by a foreign page; a program that sends neither header carries
    /// nobody else's cookies.
    fn is_from_another_site(&self, headers: &HeaderMap) -> bool {
        let foreign_site = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
        let foreign_origin = headers.get("origin").is_some_and(|origin| *origin != *self.own_origin(headers));
        foreign_site || foreign_origin
    }

    async fn authenticate(
        &self,
        row: &'static Row,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        trail: &mut Trail,
        base_url: &str,
    ) -> Result<Caller, Shape> {
        let twice =
            || errors::messages(400, &["A header that proves who you are may stand only once.".to_owned()], &[]);
        let authorization = head::single(headers, "authorization").map_err(|()| twice())?;
        let session_cookie = head::cookie(headers, SESSION_COOKIE).map_err(|()| twice())?;
        let own_origin = self.own_origin(headers);
        let dpop = head::single(headers, "dpop").map_err(|()| twice())?;
        let request_head = RequestHead {
            surface: trail.surface,
            authorization,
            dpop,
            method: trail.method.as_str(),
            path: &trail.path,
            query: trail.query.as_deref().unwrap_or_default(),
            session_cookie,
            origin: head::text(headers, "origin"),
            sec_fetch_site: head::text(headers, "sec-fetch-site"),
            own_origin: &own_origin,
            address,
            ap_client_key: head::single(headers, "ap-client-key").map_err(|()| twice())?,
            webhook_trace: head::text(headers, "x-atlassian-webhook-trace")
                .filter(|trace| trace.len() <= TRACE_CHARACTERS_MAX),
            request_id: &trail.request_id,
            user_agent: head::text(headers, "user-agent").unwrap_or_default(),
        };
        match self.guard.authenticate(row, &request_head).await {
            Ok(caller) => {
                trail.access = caller.access().word();
                trail.account_id = caller.account_id().map(str::to_owned);
                trail.failed_login = caller.failed_login();
                Ok(caller)
            }
            Err(stop) => Err(self.stopped(stop, trail, base_url)),
        }
    }

    fn stopped(&self, stop: Stop, trail: &mut Trail, base_url: &str) -> Shape {
        match stop {
            Stop::Refused(refusal) => {
                // Where the row lets a caller in without the project that the query names, the handler says that it is hidden,
                // without an id: then absence has none either.
                let by_handler_too = refusal.row.locate == Locate::QueryProject && !refusal.target_name.is_empty();
                if !(by_handler_too && refusal.kind == RefusalKind::Hidden) {
                    trail.decision = Some(refusal.decision.clone());
                }
                trail.reason = refusal.reason.map_or("", |reason| reason.word());
                trail.failed_login |= refusal.failed_login;
                if refusal.row.area == Area::Console {
                    return pages::refusal(&refusal, trail);
                }
                let strict = !self.guard.failed_basic_is_anonymous();
                let shape = errors::refusal(&refusal, trail.surface, trail.accept.as_deref(), base_url, strict);
                self.challenged(shape, &refusal, trail)
            }
            Stop::Problem(problem) => {
                if let Some(cause) = &problem.cause {
                    log_cause(&trail.request_id, trail.operation, cause.as_ref());
                }
                if trail.surface == Surface::Console {
                    return pages::problem(&problem, trail);
                }
                let shape = errors::problem(&problem, &trail.path, &trail.request_id);
                if trail.surface == Surface::Authorization {
                    errors::for_area(Area::Authorization, shape)
                } else {
                    shape
                }
            }
        }
    }

    /// A 401 of the gateway says what is missing and where a token comes from (RFC 6750, section 3; RFC 9728, section 5.1).
    fn challenged(&self, mut shape: Shape, refusal: &Refusal, trail: &Trail) -> Shape {
        if trail.surface == Surface::Gateway && shape.status == 401 {
            let metadata = format!("{}/.well-known/oauth-protected-resource", self.guard.addresses().api);
            shape.headers.push(("www-authenticate", errors::challenge(refusal, &metadata)));
        }
        shape
    }

    async fn suffer(&self, kind: FaultKind) -> Result<(), Shape> {
        let injected = |status, words: &str| errors::messages(status, &[words.to_owned()], &[]);
        match kind {
            FaultKind::Slow => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            }
            FaultKind::Error => Err(injected(500, "Injected fault.")),
            FaultKind::Unavailable => {
                let mut out = injected(503, "Injected fault.");
                out.headers.push(("retry-after", "1".to_owned()));
                Err(out)
            }
            FaultKind::RateLimit => Err(response::rate_limited(0, 1)),
        }
    }

    /// Counts the caller's requests in this second.
    pub(crate) fn rate(&self, row: &'static Row, caller: &Caller, trail: &mut Trail) -> Result<(), Shape> {
        const ACCOUNTS_MAX: usize = 100_000;
        let limit = self.config.account_requests_per_s_max;
        let Some(account_id) = caller.budget() else { return Ok(()) };
        let second = self.started.elapsed().as_secs();
        let Ok(mut rates) = self.rates.lock() else { return Ok(()) };
        if rates.len() >= ACCOUNTS_MAX {
            rates.retain(|_, (at, _)| *at == second);
        }
        let entry = match rates.get_mut(&account_id) {
            Some(entry) => entry,
            None => rates.entry(account_id).or_insert((second, 0)),
        };
        if entry.0 != second {
            *entry = (second, 0);
        }
        entry.1 = entry.1.saturating_add(1);
        let used = entry.1;
        trail.remaining = Some((limit.saturating_sub(used), limit));
        drop(rates);
        if used <= limit {
            return Ok(());
        }
        if let Stop::Refused(refusal) =
            self.guard.refuse_at_edge(row, caller, RefusalKind::TooMany { retry_after_s: 1 })
        {
            trail.decision = Some(refusal.decision);
        }
        Err(response::rate_limited(limit, 1))
    }

    /// The body, and the room it takes until the request is answered.
    async fn body<B>(
        &self,
        raw: B,
        kind: BodyKind,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> Result<(Body, Option<OwnedSemaphorePermit>), Shape>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let bytes_max = match kind {
            BodyKind::Multipart | BodyKind::Bytes => self.config.upload_bytes_max,
            // Nothing that an OAuth 2.0 client sends is longer.
            BodyKind::Parameters => PARAMETERS_BYTES_MAX,
            BodyKind::None | BodyKind::Json | BodyKind::Form => self.config.body_bytes_max,
        };
        let declared = head::text(headers, "content-length").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let too_large = || errors::messages(413, &[format!("The body is larger than {bytes_max} bytes.")], &[]);
        if declared > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let mut room = None;
        let read = body::read(raw, bytes_max, self.config.body_timeout, self.room.of(caller)).await;
        let read = read.map(|held| {
            room = held.room;
            held.bytes
        });
        let parsed = match read {
            Ok(bytes) if bytes.is_empty() => Ok(Body::Empty),
            Ok(bytes) => match kind {
                BodyKind::None => Ok(Body::Empty),
                BodyKind::Bytes => Ok(Body::Bytes(bytes.to_vec())),
                BodyKind::Json => body::json(&bytes),
                BodyKind::Form => body::form(&bytes),
                BodyKind::Parameters => body::parameters(&bytes),
                BodyKind::Multipart => {
                    body::multipart(bytes, head::text(headers, "content-type").unwrap_or_default()).await
                }
            },
            Err(bad) => Err(bad),
        };
        parsed.map(|body| (body, room)).map_err(|bad| match bad {
            BadBody::NoRoom => {
                let mut out = errors::messages(503, &["The server is busy. Try again in a moment.".to_owned()], &[]);
                out.headers.push(("retry-after", "1".to_owned()));
                out
            }
            BadBody::TooLarge => too_large(),
            BadBody::Interrupted => errors::messages(408, &["The body did not arrive in time.".to_owned()], &[]),
            BadBody::Unreadable(words) => errors::unreadable(&words),
        })
    }

    /// What `/readyz` says while the database answers; `verbose`: a line for each part.
    fn readiness(&self, verbose: bool) -> String {
        if !verbose {
            return "ready\n".to_owned();
        }
        let sandbox = self.sandbox.get().map_or("not looked at yet", String::as_str);
        format!("ready\ndatabase: answers\nsandbox: {sandbox}\n")
    }

    /// Operations of the edge itself, which need nothing from the database.
    async fn own(&self, row: &'static Row, caller: &Caller, input: &Input) -> Result<Option<Reply>, Shape> {
        let text = |content_type, text: String| Reply {
            status: 200,
            headers: Vec::new(),
            body: ReplyBody::Text(content_type, text),
        };
        let problem = |problem: Problem| errors::problem(&problem, row.path, caller.request_id());
        Ok(Some(match row.id {
            "portcullisHealth" => text("text/plain;charset=UTF-8", "ok\n".to_owned()),
            "portcullisReady" => match self.guard.ready().await {
                Ok(()) => text("text/plain;charset=UTF-8", self.readiness(input.query("verbose").is_some())),
                Err(error) => {
                    log_cause(caller.request_id(), row.id, &error);
                    return Err(errors::messages(503, &["The database does not answer.".to_owned()], &[]));
                }
            },
            "portcullisMetrics" => text("text/plain; version=0.0.4;charset=UTF-8", self.metrics.page(&self.guard)),
            "portcullisTenantInfo" => Reply::json(json!({"cloudId": self.guard.site().1})),
            "manageOpenApi" => Reply::json(openapi::document(&self.config.base_url)),
            "consoleStatic" => match portcullis_console::static_file(input.param("file")) {
                Some((content_type, content)) => {
                    text(content_type, content.to_owned()).with_header("cache-control", "public, max-age=3600")
                }
                None => return Err(errors::messages(404, &["No such file.".to_owned()], &[])),
            },
            "connectScript" => match portcullis_console::connect_file(input.param("file")) {
                // Apps load it from an origin of their own.
                Some((content_type, content)) => text(content_type, content.to_owned())
                    .with_header("cache-control", "public, max-age=3600")
                    .with_header("cross-origin-resource-policy", "cross-origin".to_owned()),
                None => return Err(errors::messages(404, &["No such file.".to_owned()], &[])),
            },
            "portcullisGetClock" | "portcullisSetClock" | "portcullisInjectFault" | "portcullisReset" => {
                self.emulator(row, input).map_err(problem)?
            }
            _ => return Ok(None),
        }))
    }

    fn emulator(&self, row: &Row, input: &Input) -> Result<Reply, Problem> {
        let Some(clock) = &self.config.emulator else {
            return Err(Problem::not_found("The emulator controls are off."));
        };
        match row.id {
            "portcullisSetClock" => {
                let advance_ms = input.json().get("advance_ms").and_then(Json::as_i64).filter(|ms| *ms >= 0);
                let Some(advance_ms) = advance_ms else {
                    return Err(Problem::field("advance_ms", "Give a whole number of milliseconds, 0 or more."));
                };
                clock.advance_ms(advance_ms);
            }
            "portcullisInjectFault" => {
                let fault: Fault = input.parse()?;
                if fault.count == 0 || !self.faults.add(fault) {
                    return Err(Problem::invalid("`count` is 1 or more, and at most 100 faults wait at once."));
                }
                return Ok(Reply::no_content());
            }
            "portcullisReset" => {
                clock.reset();
                self.faults.clear();
                self.guard.reset_throttle();
            }
            _ => {}
        }
        Ok(Reply::json(json!({"now_ms": self.guard.now().0, "offset_ms": clock.offset_ms()})))
    }
}

/// A failure's whole chain, once, for the operator.
fn log_cause(request_id: &str, operation: &str, cause: &(dyn std::error::Error + 'static)) {
    let mut chain = cause.to_string();
    let mut next = cause.source();
    while let Some(source) = next {
        chain.push_str(": ");
        chain.push_str(&source.to_string());
        next = source.source();
    }
    tracing::error!(request_id, operation, cause = chain, "request failed");
}
