//! What the edge is told: where it is reached, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use portcullis_guard::EmulatedClock;

use crate::roles::Hosts;
use crate::tls::Tls;

/// Bounds and addresses of the edge. Every bound has a name and a unit.
#[derive(Clone)]
pub struct Config {
    /// Where people and `self` links find the site, without a slash at the end.
    pub base_url: String,
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Largest multipart upload, in bytes.
    pub upload_bytes_max: usize,
    /// Largest header section, in bytes.
    pub head_bytes_max: usize,
    /// Time to send the header section.
    pub head_timeout: Duration,
    /// Time to send the body.
    pub body_timeout: Duration,
    /// Time a request may take in all.
    pub request_timeout: Duration,
    /// Requests of one account in one second before 429.
    pub account_requests_per_s_max: u32,
    /// Host names of the roles; `None`: every host has every role.
    pub hosts: Option<Hosts>,
    /// The listener's certificate; `None`: plain HTTP, for this machine alone or behind a proxy.
    pub tls: Option<Tls>,
    /// The clock behind `/_emulator`; `None` hides those paths.
    pub emulator: Option<Arc<EmulatedClock>>,
}

impl Config {
    /// The defaults for a server that is reached at `base_url`.
    pub fn new(base_url: String) -> Self {
        Self {
            base_url,
            body_bytes_max: 4 << 20,
            upload_bytes_max: 32 << 20,
            head_bytes_max: 32 << 10,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            account_requests_per_s_max: 500,
            hosts: None,
            tls: None,
            emulator: None,
        }
    }
}
