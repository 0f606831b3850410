//! TLS towards outside services: which authorities are believed, and that HTTP/1.1 is spoken.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use thiserror::Error;

/// Why there is no TLS towards a service.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file of authorities cannot be used.
    #[error("cannot read authorities from `{}`: {cause}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The system has none, and no file was named.
    #[error("the system has no certificate authorities, and no file of them is named")]
    NoAuthorities,
    /// rustls refuses the settings.
    #[error("TLS cannot be set up: {0}")]
    Settings(#[from] rustls::Error),
}

/// The client's side of TLS: the system's authorities, and those of a file beside them.
pub(super) fn client_config(ca: Option<&PathBuf>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // Some systems carry a few that nobody can read; the others serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let unusable = |cause: String| TlsError::Authorities { path: path.clone(), cause };
        let authorities = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| unusable(cause.to_string()))?;
        if authorities.is_empty() {
            return Err(unusable("it holds no certificate".to_owned()));
        }
        for authority in authorities {
            roots.add(authority).map_err(|cause| unusable(cause.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    // The provider is named; nothing is left to what else is linked in.
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
