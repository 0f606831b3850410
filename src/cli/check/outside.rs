//! What only the file system can tell about a configuration: certificates, keys, authorities, and who else reads
//! them.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    server::ParsedCertificate,
};

use crate::{
    cli::configuration::Source,
    config::{Config, Place, Report},
    edge::{
        settings::{CertificateFiles, TlsSettings},
        tls::{self, TlsError},
    },
    store::Backend,
};

/// Adds what is wrong out there to a report.
pub(super) fn examine(config: &Config, source: &Source, report: &mut Report) {
    examine_file(config, source, report);
    if let Some(tls) = &config.edge.tls {
        for (number, files) in tls.certificates.iter().enumerate() {
            let places = config.places.certificates.get(number).cloned().unwrap_or_default();
            examine_certificate(tls, files, &places, report);
        }
    }
    for (number, upstream) in config.upstreams.iter().enumerate() {
        let Some(ca) = &upstream.ca else {
            continue;
        };
        if let Err(error) = tls::client_config(Some(ca)) {
            let place = config.places.upstream_cas.get(number).cloned().unwrap_or_default();
            report.error(&place, error.to_string(), "expected a PEM file of certificates");
        }
    }
    if let Backend::Sqlite(path) = &config.store.backend {
        examine_store(path, &config.places.store, report);
    }
}

/// A configuration that holds a secret itself, rather than a reference to one, is a secret too.
fn examine_file(config: &Config, source: &Source, report: &mut Report) {
    if config.holds_secrets && is_open_to_others(Path::new(source.name())).unwrap_or(false) {
        let title = format!("`{}` holds a secret and can be read by other users of this machine", source.name());
        report.warn(&Place::Nowhere, title, "chmod 600 keeps them out; or refer to it as \"${file:/path}\"");
    }
}

fn examine_certificate(tls: &TlsSettings, files: &CertificateFiles, places: &(Place, Place), report: &mut Report) {
    let alone = TlsSettings { certificates: vec![files.clone()], ..tls.clone() };
    if let Err(error) = tls::server_config(&alone, false) {
        let place = match &error {
            TlsError::File { path, .. } if *path == files.cert => &places.0,
            TlsError::Ended { .. } => &places.0,
            TlsError::File { .. } | TlsError::Pair { .. } | TlsError::Settings(_) => &places.1,
        };
        report.error(place, error.to_string(), "");
        return;
    }
    for host in files.hosts.iter().filter(|host| !covers(&files.cert, host)) {
        report.warn(&places.0, format!("the certificate is not for `{host}`, which clients will refuse"), "");
    }
    if is_open_to_others(&files.key).unwrap_or(false) {
        let title = format!("the key `{}` can be read by other users of this machine", files.key.display());
        report.warn(&places.1, title, "chmod 600 keeps them out");
    }
}

/// Whether the leaf of a chain, which was read before, is for a host. A wildcard is tried by a name below it.
fn covers(cert: &Path, host: &str) -> bool {
    let Ok(leaf) = CertificateDer::from_pem_file(cert) else {
        return true;
    };
    let name = host.strip_prefix("*.").map_or_else(|| host.to_owned(), |rest| format!("any.{rest}"));
    match (ParsedCertificate::try_from(&leaf), ServerName::try_from(name)) {
        (Ok(leaf), Ok(name)) => verify_server_name(&leaf, &name).is_ok(),
        _ => true,
    }
}

fn examine_store(path: &Path, place: &Place, report: &mut Report) {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        let title = format!("the directory `{}` of the store does not exist", directory.display());
        report.warn(place, title, "the gateway makes files, not directories");
    }
    if is_open_to_others(path).unwrap_or(false) {
        let title = format!("the store `{}` can be read by other users of this machine", path.display());
        report.warn(place, title, "chmod 600 keeps them out");
    }
}

/// Whether anybody but the owner may do anything with a file.
fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}
