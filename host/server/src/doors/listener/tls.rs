//! TLS, with the certificate of a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What connections are made with; those that are open keep what they began with.
pub(crate) struct Tls(RwLock<Arc<ServerConfig>>);

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Certificate(Arc<ServerConfig>);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the certificate `{}`: give a PEM file with the certificate, and behind it those that signed it", path.display())]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("cannot use the certificate `{}`: it is a PEM file without a certificate", path.display())]
    Empty { path: PathBuf },
    #[error("cannot read the private key `{}`: give a PEM file with a key that is not encrypted", path.display())]
    Key { path: PathBuf, source: pem::Error },
    #[error("cannot use the certificate `{}` with the private key `{}`: give the key of this certificate", certificate.display(), key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        source: tokio_rustls::rustls::Error,
    },
}

impl Certificate {
    /// Reads the PEM files of a certificate, with those that signed it, and of
    /// its key.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or they do not belong together.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unread = |source| TlsError::Certificate {
            path: certificate.to_owned(),
            source,
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .map_err(unread)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(unread)?;
        if chain.is_empty() {
            return Err(TlsError::Empty {
                path: certificate.to_owned(),
            });
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key {
            path: key.to_owned(),
            source,
        })?;
        let unfit = |source| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        };
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(redacted)")
    }
}

impl Tls {
    pub(crate) fn new(certificate: Certificate) -> Self {
        Self(RwLock::new(certificate.0))
    }

    /// Uses another certificate for the connections to come.
    pub(crate) fn replace(&self, certificate: Certificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate.0;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}
