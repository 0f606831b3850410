//! Certificates with their keys, as they were read from their files.
//!
//! 1. A chain and a key that do not belong together are no pair, and nobody is shown one that has ended.
//! 2. A pair that is read again and is the same is the same pair.

use std::{path::Path, sync::Arc};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};

use super::{TlsError, validity::not_after};
use crate::{edge::settings::CertificateFiles, time::UnixTime};

/// A chain and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) files: CertificateFiles,
    pub(super) key: Arc<CertifiedKey>,
    /// When its leaf ends; nothing if that cannot be told.
    pub(crate) not_after: Option<UnixTime>,
    digest: [u8; 32],
}

impl Pair {
    /// Reads a pair, or takes the one `before` if the files say the same.
    pub(super) fn read(
        files: &CertificateFiles,
        before: Option<&Arc<Self>>,
        provider: &CryptoProvider,
    ) -> Result<Arc<Self>, TlsError> {
        let unreadable = |what, path: &Path, cause: String| TlsError::File { what, path: path.to_owned(), cause };
        let cert = std::fs::read(&files.cert)
            .map_err(|cause| unreadable("a certificate chain", &files.cert, cause.to_string()))?;
        let key =
            std::fs::read(&files.key).map_err(|cause| unreadable("a private key", &files.key, cause.to_string()))?;
        let digest = digest(&cert, &key);
        if let Some(before) = before.filter(|before| before.digest == digest && before.files == *files) {
            return Ok(Arc::clone(before));
        }
        let chain = CertificateDer::pem_slice_iter(&cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| unreadable("a certificate chain", &files.cert, cause.to_string()))?;
        let Some(leaf) = chain.first() else {
            return Err(unreadable("a certificate chain", &files.cert, "it holds no certificate".to_owned()));
        };
        let not_after = not_after(leaf);
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|cause| unreadable("a private key", &files.key, cause.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|cause| TlsError::Pair {
            key: files.key.clone(),
            cert: files.cert.clone(),
            cause,
        })?;
        Ok(Arc::new(Self { files: files.clone(), key: Arc::new(key), not_after, digest }))
    }

    /// The same, unless what is new has ended.
    pub(super) fn read_unended(
        files: &CertificateFiles,
        before: Option<&Arc<Self>>,
        provider: &CryptoProvider,
        now: UnixTime,
    ) -> Result<Arc<Self>, TlsError> {
        let pair = Self::read(files, before, provider)?;
        let known = before.is_some_and(|before| Arc::ptr_eq(before, &pair));
        match pair.not_after.filter(|_| !known && pair.has_ended(now)) {
            Some(ended) => Err(TlsError::Ended { cert: files.cert.clone(), ended }),
            None => Ok(pair),
        }
    }

    /// Whether nobody takes it any more.
    pub(crate) fn has_ended(&self, now: UnixTime) -> bool {
        self.not_after.is_some_and(|end| end < now)
    }
}

fn digest(cert: &[u8], key: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [cert, key] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
