//! TLS to the server, by rustls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Connects over TLS, and knows whom to trust.
pub(super) type Tls = MakeRustlsConnect;

/// Trusts the certificates of a PEM file, or those of this machine. The name in
/// the server's certificate must be that of the server.
pub(super) fn trusting(file: Option<&Path>) -> io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            let invalid = |error| match error {
                pem::Error::Io(error) => error,
                error => io::Error::new(io::ErrorKind::InvalidData, error),
            };
            let read = CertificateDer::pem_file_iter(file).map_err(invalid)?;
            let read: Result<Vec<_>, _> = read.collect();
            roots.add_parsable_certificates(read.map_err(invalid)?);
            if roots.is_empty() {
                let what = "it holds no certificate in PEM";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
