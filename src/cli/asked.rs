//! A request as the command line names it, judged by its head as the edge judges one that came over a socket.

use http::Method;

use super::console::Failure;
use crate::{
    config::Config,
    edge::respond::Answer,
    policy::target::{self, CanonicalPath, Host, Target},
};

/// A method and a URL.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    url: String,
}

/// The parts of a request by which it is routed.
#[derive(Debug)]
pub(super) struct Head<'r> {
    pub(super) host: Host<'r>,
    pub(super) path: CanonicalPath<'r>,
    pub(super) query: Option<&'r str>,
    /// Host and port as written.
    pub(super) authority: &'r str,
}

impl Asked {
    /// Reads them as arguments.
    pub(super) fn read(method: &str, url: &str) -> Result<Self, Failure> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| Failure::Usage(format!("expected a method such as GET, found `{}`", method.escape_debug())))?;
        Ok(Self { method, url: url.to_owned() })
    }

    /// The method.
    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// The URL as given.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Judges host, path and query. A URL without host is asked of the public one.
    pub(super) fn head<'r>(&'r self, config: &'r Config) -> Result<Result<Head<'r>, Answer>, Failure> {
        let (authority, path, query) = match Target::parse(&self.url) {
            Target::Absolute { scheme, authority, path, query }
                if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
            {
                (authority, path, query)
            }
            Target::Origin { path, query } => (config.public_url.authority(), path, query),
            Target::Absolute { .. } | Target::Asterisk | Target::Other => {
                let found = self.url.escape_debug();
                return Err(Failure::Usage(format!("expected a URL such as `https://host/path`, found `{found}`")));
            }
        };
        Ok(judge(config, &self.method, (authority, path, query)))
    }
}

/// In the order of the edge: length, method, host, path, query.
fn judge<'r>(
    config: &Config,
    method: &Method,
    (authority, path, query): (&'r str, &'r str, Option<&'r str>),
) -> Result<Head<'r>, Answer> {
    let length = path.len() + query.map_or(0, |query| query.len() + 1);
    if length > config.edge.limits.target_bytes {
        return Err(Answer::TargetTooLong);
    }
    if target::never_served(method) {
        return Err(Answer::MethodNotAllowed);
    }
    let host = Host::parse(authority).map_err(|error| Answer::BadRequest(error.to_string()))?;
    if !config.edge.hosts.iter().any(|served| served == host.as_str()) {
        return Err(Answer::UnknownHost);
    }
    let path = CanonicalPath::parse(path).map_err(Answer::BadPath)?;
    target::check_query(query.unwrap_or("")).map_err(Answer::BadPath)?;
    Ok(Head { host, path, query, authority })
}
