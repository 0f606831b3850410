//! `healthcheck`: asks a gateway whether it is ready, for containers that have no shell and no curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use http::{StatusCode, Uri};

use super::{
    configuration::ConfigFile,
    console::{Failure, say},
    fetch,
};

/// Arguments of `healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464/readyz", conflicts_with = "config")]
    url: String,
    /// Ask the private listener of this configuration
    #[arg(short = 'c', long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// How long the answer may take: less than the 3 seconds after which the image counts a check as failed.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (authority, path) = match &arguments.config {
        Some(path) => (private_listener(&ConfigFile { path: path.clone() })?, "/readyz".to_owned()),
        None => taken_apart(&arguments.url)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let answer = runtime.block_on(fetch::get(&authority, &path, None, PATIENCE));
    let (status, body) =
        answer.map_err(|error| Failure::Failed(format!("no answer from http://{authority}{path}: {error}")))?;
    let text = String::from_utf8_lossy(&body);
    let first_line = text.lines().next().unwrap_or_default();
    if status != StatusCode::OK {
        let status = status.as_u16();
        return Err(Failure::Failed(format!("http://{authority}{path} answers {status}: {first_line}")));
    }
    say(first_line)?;
    Ok(ExitCode::SUCCESS)
}

/// Where the private listener of a configuration is reached from this machine.
fn private_listener(file: &ConfigFile) -> Result<String, Failure> {
    let config = file.load()?;
    let admin = config.edge.admin.ok_or_else(|| {
        Failure::failed("this configuration has no private listener to ask; `admin.listen` gives it one")
    })?;
    let ip = match admin.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, admin.listen.port()).to_string())
}

fn taken_apart(url: &str) -> Result<(String, String), Failure> {
    let wrong = || Failure::Usage(format!("expected a URL such as `http://127.0.0.1:9464/readyz`, found `{url}`"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    let port = authority.port_u16().unwrap_or(80);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((format!("{}:{port}", authority.host()), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_can_be_asked() {
        let rows = [
            ("http://127.0.0.1:9464/readyz", Some(("127.0.0.1:9464", "/readyz"))),
            ("http://[::1]:9464/readyz?verbose", Some(("[::1]:9464", "/readyz?verbose"))),
            ("http://gateway", Some(("gateway:80", "/"))),
            ("https://gateway/readyz", None),
            ("/readyz", None),
            ("gateway:9464", None),
            ("", None),
        ];
        for (url, expected) in rows {
            let expected = expected.map(|(authority, path)| (authority.to_owned(), path.to_owned()));
            assert_eq!(taken_apart(url).ok(), expected, "{url}");
        }
    }
}
