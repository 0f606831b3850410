//! TLS of the public listeners: certificates by name, versions, protocols.
//!
//! 1. The provider is named; nothing is left to what else is linked in.
//! 2. A client that names no host gets the first certificate; one that names a host no certificate is for gets
//!    the first as well, and is told 421 by its Host, or by its own check of the name.
//!    Hosts of another certificate than the one that was named are 421 on that connection (hardening.md row P16).
//! 3. A key that does not belong to its chain, or a file that holds none, ends the start.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::settings::{CertificateFiles, TlsSettings};

/// Why a listener has no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read {what} from `{}`: {cause}", path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Key and chain do not fit each other, or rustls does not take them.
    #[error("the key `{}` does not fit the certificate `{}`: {cause}", key.display(), cert.display())]
    Pair {
        /// The key's file.
        key: PathBuf,
        /// The chain's file.
        cert: PathBuf,
        /// What is wrong.
        cause: rustls::Error,
    },
    /// rustls refuses the settings.
    #[error("TLS cannot be set up: {0}")]
    Settings(#[from] rustls::Error),
}

/// What listeners speak.
#[derive(Clone)]
pub(crate) struct Tls {
    /// On the public ones.
    pub(crate) public: TlsAcceptor,
    /// On the private one, where it is not on loopback.
    pub(crate) private: TlsAcceptor,
}

/// Certificates by the host a client names.
#[derive(Debug)]
struct ByHost {
    files: Vec<CertificateFiles>,
    keys: Vec<Arc<CertifiedKey>>,
}

/// The place of the certificate that is for a host, in lower case: its very name goes before a `*.` that covers
/// its first label; the first certificate is for whatever else.
pub(crate) fn place_of(certificates: &[CertificateFiles], host: &str) -> usize {
    let covers = |name: &str| certificates.iter().position(|files| files.hosts.iter().any(|known| known == name));
    let wildcard = || covers(&format!("*.{}", host.split_once('.')?.1));
    covers(host).or_else(wildcard).unwrap_or(0)
}

/// The provider of all cryptography of TLS here, towards clients and upstreams.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// What listeners speak, if there is a certificate.
pub(crate) fn listeners(settings: &TlsSettings, http2: bool) -> Result<Option<Tls>, TlsError> {
    let (public, private) = (server_config(settings, http2)?, server_config(settings, false)?);
    Ok(public.zip(private).map(|(public, private)| Tls { public: public.into(), private: private.into() }))
}

/// The server's side of TLS. `http2` offers it by ALPN. At least one certificate is needed; without, nothing.
pub fn server_config(settings: &TlsSettings, http2: bool) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let provider = provider();
    let files = settings.certificates.clone();
    let keys =
        files.iter().map(|files| certified_key(files, &provider).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Ok(None);
    }
    let versions: &[&SupportedProtocolVersion] =
        if settings.tls12 { &[&rustls::version::TLS13, &rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByHost { files, keys }));
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Some(Arc::new(config)))
}

fn certified_key(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let unreadable = |what, path: &PathBuf, cause: String| TlsError::File { what, path: path.clone(), cause };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| unreadable("a certificate chain", &files.cert, cause.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable("a certificate chain", &files.cert, "it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|cause| unreadable("a private key", &files.key, cause.to_string()))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|cause| TlsError::Pair {
        key: files.key.clone(),
        cert: files.cert.clone(),
        cause,
    })
}

impl ResolvesServerCert for ByHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let place = hello.server_name().map_or(0, |name| place_of(&self.files, name));
        self.keys.get(place).cloned()
    }
}

/// The client's side of TLS, towards an upstream: authorities from a file, or those of the system.
pub fn client_config(ca: Option<&PathBuf>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let unreadable = |cause: String| TlsError::File { what: "authorities", path: path.clone(), cause };
            let authorities = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|cause| unreadable(cause.to_string()))?;
            if authorities.is_empty() {
                return Err(unreadable("it holds no certificate".to_owned()));
            }
            for authority in authorities {
                roots.add(authority).map_err(|cause| unreadable(cause.to_string()))?;
            }
        }
        None => {
            // Some systems carry a few that nobody can read; the others serve.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_by_host() {
        let files = |hosts: &[&str]| CertificateFiles {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
        };
        let certificates = [files(&["a.example"]), files(&["*.b.example"]), files(&["b.example", "x.b.example"])];
        let rows = [
            ("its name", "a.example", 0),
            ("the second name of one", "b.example", 2),
            ("under a wildcard", "y.b.example", 1),
            ("its name goes before a wildcard", "x.b.example", 2),
            ("a wildcard covers one label", "z.y.b.example", 0),
            ("no certificate's", "c.example", 0),
            ("one label", "localhost", 0),
        ];
        for (name, host, expected) in rows {
            assert_eq!(place_of(&certificates, host), expected, "{name}");
        }
    }
}
