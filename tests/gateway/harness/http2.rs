//! An HTTP/2 client: several requests on one connection, by prior knowledge or over TLS.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::client::{Answer, Secrets};

/// A request as HTTP/2 has it.
pub(crate) type Request = http::Request<Full<Bytes>>;

/// A connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    secrets: Arc<Secrets>,
}

/// GET of a target of the usual host with these fields. `scheme` is what the listener speaks.
pub(crate) fn get(scheme: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    let builder = http::Request::get(format!("{scheme}://api.example.com{target}"));
    let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(Full::default()).expect("a request")
}

impl Client {
    /// By prior knowledge.
    pub(crate) async fn connect(address: SocketAddr, secrets: Arc<Secrets>) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway accepts");
        Self::over(stream, secrets).await
    }

    /// Over a stream that is open.
    pub(crate) async fn over<S>(stream: S, secrets: Arc<Secrets>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.expect("the gateway speaks HTTP/2");
        tokio::spawn(connection);
        Self { sender, secrets }
    }

    /// Sends a request and waits for the whole answer; nothing if the stream or the connection was reset.
    pub(crate) async fn try_send(&mut self, request: Request) -> Option<Answer> {
        if let Some(token) = request.headers().get("authorization").and_then(|value| value.to_str().ok()) {
            self.secrets.add(token);
        }
        let head = *request.method() == http::Method::HEAD;
        let (parts, body) = self.sender.send_request(request).await.ok()?.into_parts();
        let headers = parts.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let (body, whole) = match body.collect().await {
            Ok(body) => (body.to_bytes().to_vec(), true),
            Err(_) => (Vec::new(), false),
        };
        let answer = Answer { status: parts.status.as_u16(), headers, body, interim: Vec::new(), whole };
        answer.hold_to_the_rules(head, &self.secrets);
        Some(answer)
    }

    /// The same; there must be an answer.
    pub(crate) async fn send(&mut self, request: Request) -> Answer {
        self.try_send(request).await.expect("an answer")
    }
}
