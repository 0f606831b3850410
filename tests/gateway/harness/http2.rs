//! An HTTP/2 client: several requests on one connection, by prior knowledge or over TLS.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::client::{Answer, Secrets};

/// A body with or without trailers.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// A request as HTTP/2 has it.
pub(crate) type Request = http::Request<Body>;

/// A connection.
pub(crate) struct Client {
    sender: SendRequest<Body>,
    secrets: Arc<Secrets>,
}

/// GET of a target of the usual host with these fields. `scheme` is what the listener speaks.
pub(crate) fn get(scheme: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    let builder = http::Request::get(format!("{scheme}://api.example.com{target}"));
    let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(Body::default()).expect("a request")
}

/// POST to a target of the usual host on a plain listener, with a body and trailers.
pub(crate) fn post(target: &str, body: Bytes, trailers: &[(&'static str, &'static str)]) -> Request {
    let fields = trailers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
    let trailers: http::HeaderMap = fields.collect();
    let body = Full::new(body).with_trailers(std::future::ready((!trailers.is_empty()).then_some(Ok(trailers))));
    http::Request::post(format!("http://api.example.com{target}")).body(body.boxed()).expect("a request")
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
        let mut headers: Vec<(String, String)> = headers;
        let (body, whole) = match body.collect().await {
            Ok(body) => {
                // Trailers are held to the rules of fields, so they are shown among them.
                let trailers = body.trailers().into_iter().flatten();
                headers
                    .extend(trailers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned())));
                (body.to_bytes().to_vec(), true)
            }
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
