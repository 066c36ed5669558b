//! The edge as apps' code sees it, and the program that runs the code.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use portcullis_apps::edge::{Answer, Call, Edge, Reaches};
use portcullis_forge::Forge;
use portcullis_gateway::{Forwarded, Gateway};
use portcullis_sandbox::Program;

/// The hidden command that makes this program a worker of the sandbox.
pub const WORKER_COMMAND: &str = "sandbox-worker";

/// This program, as a worker.
pub(crate) fn worker_program() -> std::io::Result<Program> {
    Ok(Program { path: std::env::current_exe()?, arguments: vec![WORKER_COMMAND.into()] })
}

/// Lets apps' code and the console call the edge that its own handlers hang on.
pub fn serve_apps(gateway: &Arc<Gateway>, forge: &Forge) {
    forge.edge().serve_by(gateway.guard().clone(), Arc::new(GatewayEdge(Arc::downgrade(gateway))));
}

struct GatewayEdge(Weak<Gateway>);

impl Edge for GatewayEdge {
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(async move {
            let Some(gateway) = self.0.upgrade() else {
                return Answer { status: 503, headers: Vec::new(), body: bytes::Bytes::new() };
            };
            let mut headers = HeaderMap::new();
            for (name, value) in &call.headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                    headers.append(name, value);
                }
            }
            let reaches = match call.reaches {
                Reaches::Jira => portcullis_gateway::Reaches::Jira,
                Reaches::Storage => portcullis_gateway::Reaches::ForgeStorage,
                Reaches::Management => portcullis_gateway::Reaches::Management,
            };
            let request = Forwarded {
                caller: call.caller,
                reaches,
                method: call.method,
                path_and_query: call.path,
                headers,
                body: call.body,
            };
            let (parts, body) = gateway.forward(request).await.into_parts();
            let headers = parts
                .headers
                .iter()
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            Answer { status: parts.status.as_u16(), headers: headers.collect(), body }
        })
    }
}
