//! SIP over TLS (RFC 3261 §26.2, RFC 5922): what we show, whom we trust, and reading both from PEM files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use crate::clock;

/// TLS for SIP, as PEM files. [`crate::Endpoint::reload_tls`] reads them anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// What we show: as a server always, as a client where the server asks for it. Without one, a listener for TLS
    /// only gives connections that we open their place, and turns everybody else away.
    pub identity: Option<CertificateFiles>,
    /// The CAs of client certificates: who connects has to show one that is signed by one of them (mTLS). Without it,
    /// clients show none.
    pub client_ca: Option<PathBuf>,
    /// The CAs that servers we connect to are trusted by.
    pub roots: Roots,
    /// Most TLS handshakes of others under way at a time. One more takes the place of the oldest of whoever has most of
    /// them, so that a flood keeps nobody else out.
    pub max_handshakes: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            identity: None,
            client_ca: None,
            roots: Roots::System,
            max_handshakes: 256,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then those between it and its CA.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Whom we trust as a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Roots {
    /// What the system trusts.
    #[default]
    System,
    /// The CAs in this PEM file and no others.
    File(PathBuf),
}

/// Why certificates cannot be used. What was in use before stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A listener for TLS has nothing to be set up with.
    #[error("there is a TLS listener, but no `tls`; give a certificate and a key, or take the listener away")]
    NotConfigured,
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; is the path right, and may this user read it?")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM, or damaged.
    #[error("{path} is not a good PEM file: {reason}; it has lines such as -----BEGIN CERTIFICATE-----")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has no certificate in it.
    #[error("{path} has no certificate; give a PEM file with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be read or used.
    #[error("certificate {number} in {path} cannot be used: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate is no longer good, or not yet.
    #[error(
        "the certificate in {path} is good from {from} to {until} only; get a new one, or look at the clock"
    )]
    Validity {
        /// The file.
        path: PathBuf,
        /// When it begins to be good.
        from: String,
        /// When it ends.
        until: String,
    },
    /// A file has no private key that can be used.
    #[error(
        "{path} has no usable private key: {reason}; give an unencrypted PKCS#8, PKCS#1 or SEC1 key in PEM"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is that of another certificate.
    #[error(
        "the key in {key} is not that of the certificate in {certificate}; give the two that were made together"
    )]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The TLS library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// What the files come to.
#[derive(Clone)]
pub(crate) struct Tls {
    /// None without an identity.
    pub(crate) server: Option<Arc<ServerConfig>>,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) max_handshakes: usize,
    pub(crate) handshake_timeout: Duration,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server", &self.server.is_some()).finish_non_exhaustive()
    }
}

impl TlsConfig {
    /// Whether all files are there and good, without using them.
    ///
    /// # Errors
    /// [`TlsError`] for the first that is not.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(|_| ())
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let identity = match &self.identity {
            Some(files) => Some(Arc::new(SingleCertAndKey::from(files.load(&provider)?))),
            None => None,
        };
        let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());

        let clients = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authorities(path)?);
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| setup(&error))?
            }
        };
        let server = match identity.clone() {
            None => None,
            Some(identity) => Some(Arc::new(
                ServerConfig::builder_with_provider(Arc::clone(&provider))
                    .with_safe_default_protocol_versions()
                    .map_err(|error| setup(&error))?
                    .with_client_cert_verifier(clients)
                    .with_cert_resolver(identity),
            )),
        };

        let roots = match &self.roots {
            Roots::File(path) => authorities(path)?,
            Roots::System => system_authorities(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?;
        // A store without any trusts nobody, and the handshake says so.
        let builder = builder.with_root_certificates(roots);
        let client = Arc::new(match identity {
            Some(identity) => builder.with_client_cert_resolver(identity),
            None => builder.with_no_client_auth(),
        });
        let (max_handshakes, handshake_timeout) = (self.max_handshakes.max(1), self.handshake_timeout);
        Ok(Tls { server, client, max_handshakes, handshake_timeout })
    }
}

impl CertificateFiles {
    fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = certificates(&self.certificate)?;
        let path = || self.certificate.clone();
        if let Some(first) = chain.first() {
            check_validity(&self.certificate, first)?;
        }
        let text = read(&self.key)?;
        let unusable = |reason: String| TlsError::Key { path: self.key.clone(), reason };
        // Never the library's own words: they might quote the key.
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => unusable("there is none in it".to_owned()),
            _ => unusable("it is damaged".to_owned()),
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { certificate: path(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(reason) => {
                TlsError::Certificate { path: path(), number: 1, reason: reason.to_string() }
            }
            _ => unusable("it is of no kind that TLS can use".to_owned()),
        })
    }
}

/// The certificates in a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| TlsError::Pem { path: path.to_owned(), reason: error.to_string() })?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// The CAs in a PEM file.
fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (i, certificate) in certificates(path)?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| TlsError::Certificate {
            path: path.to_owned(),
            number: i + 1,
            reason: error.to_string(),
        })?;
    }
    Ok(store)
}

/// What the system trusts. With none, calls over TLS fail, and all else goes on.
fn system_authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (good, bad) = store.add_parsable_certificates(found.certs);
    if good == 0 {
        tracing::warn!(
            "the system has no CA certificates: nobody can be called over TLS; give a file in `tls.roots`"
        );
    }
    tracing::debug!(good, bad, unread = found.errors.len(), "CA certificates of the system");
    store
}

fn check_validity(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| {
        TlsError::Certificate { path: path.to_owned(), number: 1, reason: error.to_string() }
    })?;
    let validity = parsed.validity();
    let now = i64::try_from(clock::unix_time().as_secs()).unwrap_or(i64::MAX);
    if (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
        return Ok(());
    }
    let (from, until) = (validity.not_before.to_string(), validity.not_after.to_string());
    Err(TlsError::Validity { path: path.to_owned(), from, until })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

/// Why a handshake failed, and what to do about it. `None` if TLS had no part in it.
pub(crate) fn explain(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let certificate = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate,
        rustls::Error::AlertReceived(alert) => {
            return Some(format!(
                "TLS: it has refused ours with {alert:?}; it may want a client certificate, or another one"
            ));
        }
        other => return Some(format!("TLS: {other}")),
    };
    let reason = match certificate {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by no CA that we trust; give the file of its CA in `tls.roots`"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; it needs a new one".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for the name that was called ({certificate})")
        }
        other => format!("its certificate cannot be trusted: {other}"),
    };
    Some(format!("TLS: {reason}"))
}
