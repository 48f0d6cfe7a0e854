//! How a client is made.

use std::fmt;
use std::time::Duration;

use autopilot_proto::v1::job_service_client::JobServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::credentials::Token;
use crate::error::BoxError;
use crate::{Client, Error, Result};

/// How long a call may take, when nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for a server with a larger payload limit.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// What a watch that nobody reads holds at most. The connection has room for a thousand of them: one that is
/// slow holds up no other.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;

pub(crate) type Stub = JobServiceClient<Channel>;

/// Makes a [`Client`].
///
/// ```no_run
/// # async fn example() -> autopilot_client::Result<()> {
/// use std::time::Duration;
///
/// let client = autopilot_client::Client::builder("jobs.example.com:443")
///     .tls(autopilot_client::Tls::system())
///     .token("autopilot_…")
///     .timeout(Duration::from_secs(10))
///     .connect()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "connect() makes the client"]
pub struct ClientBuilder {
    address: String,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    token: Option<Token>,
    insecure: bool,
    timeout: Duration,
}

impl ClientBuilder {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            #[cfg(feature = "tls")]
            tls: None,
            token: None,
            insecure: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Calls over TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends a bearer token with each call: over TLS and to this machine; elsewhere only when it is
    /// [`insecure`](Self::insecure).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::Fixed(token.into()));
        self
    }

    /// Is [`token`](Self::token) with a function that gives the token to use now. It is asked for each try of
    /// each call.
    ///
    /// ```no_run
    /// # async fn example() -> autopilot_client::Result<()> {
    /// let client = autopilot_client::Client::builder("127.0.0.1:50051")
    ///     .token_source(|| async { Ok(std::fs::read_to_string("/run/secrets/token")?.trim().to_owned()) })
    ///     .connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_source<F, T>(mut self, source: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        self.token = Some(Token::source(source));
        self
    }

    /// Sends tokens over plain text to other machines as well: for where something else protects the way.
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// How long a call may take that does not say so itself; [`DEFAULT_TIMEOUT`] otherwise. A watch may take any
    /// time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the client. It does not wait for the server: the first call finds it.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`], [`Error::Connection`], [`Error::TokenExposed`], [`Error::TokenMalformed`].
    pub fn connect(self) -> Result<Client> {
        if let Some(token) = &self.token {
            token.check(&self.address, self.is_encrypted() || self.insecure)?;
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::NoRuntime);
        }
        let stub = JobServiceClient::new(self.endpoint()?.connect_lazy()).max_decoding_message_size(MAX_RESPONSE_BYTES);
        Ok(Client::of(stub, self.token, self.timeout))
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        let target = match self.address.strip_prefix("unix:") {
            Some(_) => self.address.clone(),
            None => format!("{scheme}://{}", self.address),
        };
        let endpoint = Endpoint::from_shared(target)
            .map_err(connection)?
            // A server that does not answer is given up within this time, and tried again.
            .connect_timeout(Duration::from_secs(5))
            // Finds a dead connection within 80 s, where a call is open.
            .http2_keep_alive_interval(Duration::from_secs(60))
            .keep_alive_timeout(Duration::from_secs(20))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        self.encrypted(endpoint)
    }

    #[cfg(feature = "tls")]
    fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(feature = "tls")]
    fn encrypted(&self, endpoint: Endpoint) -> Result<Endpoint> {
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.0.clone()).map_err(connection),
            None => Ok(endpoint),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn is_encrypted(&self) -> bool {
        false
    }

    #[cfg(not(feature = "tls"))]
    fn encrypted(&self, endpoint: Endpoint) -> Result<Endpoint> {
        Ok(endpoint)
    }
}

fn connection(error: tonic::transport::Error) -> Error {
    Error::Connection(error.into())
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Whom a client trusts, and who it is.
#[cfg(feature = "tls")]
#[derive(Clone)]
#[must_use]
pub struct Tls(tonic::transport::ClientTlsConfig);

#[cfg(feature = "tls")]
impl Tls {
    /// Trusts the system's authorities.
    pub fn system() -> Self {
        Self(tonic::transport::ClientTlsConfig::new().with_native_roots())
    }

    /// Trusts these authorities, certificates in PEM.
    pub fn authority(pem: impl AsRef<[u8]>) -> Self {
        let authority = tonic::transport::Certificate::from_pem(pem);
        Self(tonic::transport::ClientTlsConfig::new().ca_certificate(authority))
    }

    /// Shows a certificate of the client's own, where the server asks for one; both in PEM.
    pub fn identity(self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self(self.0.identity(tonic::transport::Identity::from_pem(certificate, key)))
    }

    /// The name that the server's certificate must have, when it is not the address's.
    pub fn server_name(self, name: impl Into<String>) -> Self {
        Self(self.0.domain_name(name))
    }
}

#[cfg(feature = "tls")]
impl fmt::Debug for Tls {
    /// Keeps the key out of texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
