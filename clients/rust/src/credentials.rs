//! Bearer tokens: what they are, and where they may be sent.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::error::BoxError;
use crate::{Error, Result};

type Asked = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// What gives the token to use now.
#[derive(Clone)]
pub(crate) enum Token {
    Fixed(String),
    Source(Arc<dyn Fn() -> Asked + Send + Sync>),
}

impl Token {
    pub(crate) fn source<F, T>(source: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        Self::Source(Arc::new(move || Box::pin(source())))
    }

    /// Fails for one that is sent nowhere like this.
    pub(crate) fn check(&self, address: &str, encrypted: bool) -> Result<()> {
        if !encrypted && !is_loopback(address) {
            return Err(Error::TokenExposed { address: address.to_owned() });
        }
        match self {
            Self::Fixed(token) => header(token).map(drop),
            Self::Source(_) => Ok(()),
        }
    }

    /// Adds the token to the metadata of a call.
    pub(crate) async fn add(&self, metadata: &mut MetadataMap) -> Result<()> {
        let value = match self {
            Self::Fixed(token) => header(token)?,
            Self::Source(source) => header(&source().await.map_err(Error::TokenSource)?)?,
        };
        metadata.insert("authorization", value);
        Ok(())
    }
}

impl fmt::Debug for Token {
    /// Keeps the token out of texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

fn header(token: &str) -> Result<MetadataValue<Ascii>> {
    if !is_well_formed(token) {
        return Err(Error::TokenMalformed);
    }
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| Error::TokenMalformed)?;
    value.set_sensitive(true);
    Ok(value)
}

/// As RFC 6750 has it.
fn is_well_formed(token: &str) -> bool {
    let stem = token.trim_end_matches('=');
    !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~+/-".contains(&byte))
}

fn is_loopback(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine() {
        for address in ["localhost:1", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "unix:/tmp/s", "localhost"] {
            assert!(is_loopback(address), "{address}");
        }
        let others = ["example.com:1", "localhost.example.com:1", "10.0.0.1:1", "128.0.0.1:1", "[::2]:1", "0.0.0.0:1"];
        for address in [&others[..], &["127.0.0.1.example.com:1", "127.0.0.1@example.com:1", "", ":1"]].concat() {
            assert!(!is_loopback(address), "{address}");
        }
    }

    #[test]
    fn tokens_have_the_form_of_tokens() {
        for token in ["a", "A.z-0_~+/==", "autopilot_x"] {
            header(token).unwrap();
        }
        for token in ["", "=", "a b", "a\n", "a=b", "ä", "a\r\nx: y"] {
            let error = header(token).unwrap_err();
            assert!(matches!(error, Error::TokenMalformed));
            assert!(token.len() < 3 || !error.to_string().contains(token));
        }
    }

    #[test]
    fn a_token_stands_in_no_text() {
        let token = Token::Fixed("secret".to_owned());
        assert!(!format!("{token:?} {:?}", header("secret").unwrap()).contains("secret"));
    }
}
