//! TLS of the public listeners: certificates by name, versions, protocols.
//!
//! 1. The provider is named; nothing is left to what else is linked in.
//! 2. A client that names no host gets the first certificate; one that names a host no certificate is for gets
//!    the first as well, and is told 421 by its Host, or by its own check of the name.
//!    Hosts of another certificate than the one that was named are 421 on that connection (hardening.md row P16).
//! 3. A key that does not belong to its chain, or a file that holds none, ends the start. Later the last good pair
//!    stays, and one that has ended is none.
//! 4. A new pair means new keys of tickets: what was agreed on under the old one is not resumed. Where clients show
//!    certificates nothing is.

mod pair;
mod validity;

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{self, CertificateDer, ServerName, pem::PemObject as _},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

pub(crate) use self::pair::Pair;
use super::settings::{CertificateFiles, ClientAuth, TlsSettings};
use crate::time::UnixTime;

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
    /// A certificate whose time is over.
    #[error("the certificate `{}` ended at {ended}", cert.display())]
    Ended {
        /// The chain's file.
        cert: PathBuf,
        /// When.
        ended: UnixTime,
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
    pub(crate) pairs: Vec<Arc<Pair>>,
    settings: TlsSettings,
    http2: bool,
    /// Who vouches for clients, as the file was read.
    authorities: Vec<u8>,
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

/// The word of `siwx_tls_handshakes_total` for a handshake that failed.
pub(crate) fn fault_word(error: &std::io::Error) -> &'static str {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => "client_cert",
        _ => "error",
    }
}

/// The provider of all cryptography of TLS here, towards clients and upstreams.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Tls {
    /// What the settings say, if there is a certificate. Pairs that are the same as `before` stay, and if everything
    /// does, so do the keys of tickets. A new pair that has ended is none; without `now` it is, for a gateway that
    /// starts with nothing better.
    pub(crate) fn read(
        settings: &TlsSettings,
        http2: bool,
        before: Option<&Self>,
        now: Option<UnixTime>,
    ) -> Result<Option<Self>, TlsError> {
        if settings.certificates.is_empty() {
            return Ok(None);
        }
        let provider = provider();
        let pairs = settings.certificates.iter().map(|files| {
            let known = before.and_then(|before| before.pairs.iter().find(|pair| pair.files == *files));
            match now {
                Some(now) => Pair::read_unended(files, known, &provider, now),
                None => Pair::read(files, known, &provider),
            }
        });
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        let authorities = settings.client_auth.as_ref().map(authorities).transpose()?.unwrap_or_default();
        if let Some(before) = before
            && before.settings == *settings
            && before.http2 == http2
            && before.authorities == authorities
            && before.has(&pairs)
        {
            return Ok(Some(before.clone()));
        }
        Self::made(settings.clone(), http2, pairs, authorities).map(Some)
    }

    /// The same with what its files say now, if anything of that is new; and what is wrong with the others, of which
    /// the last good pair stays.
    pub(crate) fn read_again(&self, now: UnixTime) -> (Option<Self>, Vec<TlsError>) {
        let (provider, mut faults) = (provider(), Vec::new());
        let read = |pair: &Arc<Pair>| {
            Pair::read_unended(&pair.files, Some(pair), &provider, now).unwrap_or_else(|fault| {
                faults.push(fault);
                Arc::clone(pair)
            })
        };
        let pairs: Vec<_> = self.pairs.iter().map(read).collect();
        if self.has(&pairs) {
            return (None, faults);
        }
        match Self::made(self.settings.clone(), self.http2, pairs, self.authorities.clone()) {
            Ok(next) => (Some(next), faults),
            Err(fault) => {
                faults.push(fault);
                (None, faults)
            }
        }
    }

    /// Whether clients must show a certificate, and the same authorities vouch for them as with another.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        self.authorities == other.authorities && self.demands_client() == other.demands_client()
    }

    /// Whether clients must show a certificate.
    pub(crate) fn demands_client(&self) -> bool {
        self.settings.client_auth.as_ref().is_some_and(|client| client.required)
    }

    fn has(&self, pairs: &[Arc<Pair>]) -> bool {
        self.pairs.len() == pairs.len() && self.pairs.iter().zip(pairs).all(|(ours, one)| Arc::ptr_eq(ours, one))
    }

    fn made(settings: TlsSettings, http2: bool, pairs: Vec<Arc<Pair>>, authorities: Vec<u8>) -> Result<Self, TlsError> {
        let clients = settings.client_auth.as_ref().map(|client| (client, authorities.as_slice()));
        let public = config(&settings, &pairs, http2, clients)?;
        let private = config(&settings, &pairs, false, None)?;
        Ok(Self { public: public.into(), private: private.into(), pairs, settings, http2, authorities })
    }
}

/// The server's side of TLS. `http2` offers it by ALPN. At least one certificate is needed; without, nothing.
pub fn server_config(settings: &TlsSettings, http2: bool) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let tls = Tls::read(settings, http2, None, None)?;
    Ok(tls.map(|tls| Arc::clone(tls.public.config())))
}

fn config(
    settings: &TlsSettings,
    pairs: &[Arc<Pair>],
    http2: bool,
    clients: Option<(&ClientAuth, &[u8])>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&SupportedProtocolVersion] =
        if settings.tls12 { &[&rustls::version::TLS13, &rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match clients {
        Some((client, authorities)) => builder.with_client_cert_verifier(verifier(client, authorities)?),
        None => builder.with_no_client_auth(),
    };
    let files = pairs.iter().map(|pair| pair.files.clone()).collect();
    let keys = pairs.iter().map(|pair| Arc::clone(&pair.key)).collect();
    let mut config = builder.with_cert_resolver(Arc::new(ByHost { files, keys }));
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    if clients.is_some() {
        // Whoever resumes a session shows no certificate again, whatever became of it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = aws_lc_rs::Ticketer::new()?;
    }
    Ok(Arc::new(config))
}

/// Who vouches for clients.
fn authorities(client: &ClientAuth) -> Result<Vec<u8>, TlsError> {
    std::fs::read(&client.ca).map_err(|cause| TlsError::File {
        what: "authorities",
        path: client.ca.clone(),
        cause: cause.to_string(),
    })
}

fn verifier(client: &ClientAuth, authorities: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unreadable = |cause: String| TlsError::File { what: "authorities", path: client.ca.clone(), cause };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities) {
        let authority = authority.map_err(|cause| unreadable(cause.to_string()))?;
        roots.add(authority).map_err(|cause| unreadable(cause.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if client.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|cause| unreadable(cause.to_string()))
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

/// The same where any certificate will do. The handshake is still encrypted, with whoever is at the other end.
pub fn unverified_client_config() -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = Arc::new(Anybody(provider()));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Takes every certificate. That the other end has its key is still seen.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
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
