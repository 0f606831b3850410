//! One plain HTTP request of this program's own, for `demo` and `healthcheck`. No TLS, no redirects, a bounded body.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Bytes of a body at most: the metrics of a gateway with many routes are well below.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// Asks for `path` at `authority`, a host with a port, with a credential in a header, and waits for the whole answer.
pub(super) async fn get(
    authority: &str,
    path: &str,
    credential: Option<(&'static str, &str)>,
    patience: Duration,
) -> io::Result<(StatusCode, Bytes)> {
    let answer = timeout(patience, exchange(authority, path, credential)).await;
    answer.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}"))))
}

async fn exchange(
    authority: &str,
    path: &str,
    credential: Option<(&'static str, &str)>,
) -> io::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends when `sender` is dropped; what goes wrong on it is told there.
    tokio::spawn(connection);
    let mut request = Request::get(path).header(header::HOST, authority);
    if let Some((name, value)) = credential {
        let mut value = HeaderValue::try_from(value).map_err(io::Error::other)?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), BODY_MAX).collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes()))
}
