//! Connections: accept, serve within bounds, and finish what is in flight before stopping.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::dispatch::Gateway;
use crate::patience::Patient;

/// Time that requests in flight get after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of its answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Time that a TLS handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Connections served at once.
const CONNECTIONS_MAX: usize = 4_096;

/// Serves until `shutdown` resolves, then finishes what is in flight.
///
/// # Errors
/// When the listener itself fails.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(gateway.config().head_timeout)
        .max_buf_size(gateway.config().head_bytes_max.max(8_192))
        .keep_alive(true);
    let gateway_tls = gateway.config().tls.clone();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // A connection that died in the queue, or no file descriptor: neither stops the server.
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let _ = stream.set_nodelay(true);
        let gateway = Arc::clone(&gateway);
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let gateway = Arc::clone(&gateway);
            async move { Ok::<_, std::convert::Infallible>(gateway.handle(request, Some(address.ip())).await) }
        });
        let patient = Patient::new(stream, WRITE_PATIENCE);
        // Errors of a connection are the peer's: cut off, malformed heads (answered by hyper itself), a failed handshake.
        match gateway_tls.clone() {
            None => {
                let connection = graceful.watch(builder.serve_connection(TokioIo::new(patient), service));
                tokio::spawn(async move {
                    let _ = connection.await;
                    drop(slot);
                });
            }
            Some(tls) => {
                let (builder, watcher) = (builder.clone(), graceful.watcher());
                tokio::spawn(async move {
                    // The handshake is the peer's to finish in time; nobody else waits for it.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_PATIENCE, tls.0.accept(patient)).await {
                        let _ = watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await;
                    }
                    drop(slot);
                });
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GRACE) => tracing::warn!("requests were still in flight after {} s", GRACE.as_secs()),
    }
    Ok(())
}
