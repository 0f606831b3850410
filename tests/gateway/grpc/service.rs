//! A service of gRPC, a real one: tonic's own server, with a method of each kind.
//!
//! It is written as its interface's description would be turned into code, but for one thing: to a server every method
//! is a stream of messages both ways, so one function answers all of them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, BoxStream, Service, http},
    metadata::MetadataMap,
    server::{Grpc, NamedService, StreamingService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use crate::harness::runtime;

/// What goes both ways.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) load: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub(crate) number: u32,
}

/// A message may be as long as this on either side; the usual 4 MiB are tonic's own.
pub(crate) const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// A service that runs.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
    /// Says so when an answer that would last for ever was given up.
    pub(crate) given_up: Receiver<()>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Its methods.
#[derive(Clone)]
struct Methods {
    seen: Arc<Mutex<Vec<MetadataMap>>>,
    given_up: Sender<()>,
}

/// One of them.
struct Method {
    path: String,
    methods: Methods,
}

/// Tells when it is dropped.
struct Lasting(Sender<()>);

impl Drop for Lasting {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

// === impl Note ===

impl Note {
    pub(crate) fn new(text: &str, number: u32) -> Self {
        Self { text: text.to_owned(), load: Vec::new(), number }
    }
}

// === impl Echo ===

impl Echo {
    pub(crate) fn start() -> Self {
        let seen: Arc<Mutex<Vec<MetadataMap>>> = Arc::default();
        let (given_up, giving_up) = channel();
        let methods = Methods { seen: Arc::clone(&seen), given_up };
        let (bound, address) = channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            // What is left of it when it ends, calls and connections, ends with its runtime.
            runtime().block_on(async move {
                let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
                bound.send(incoming.local_addr().expect("bound")).expect("the test waits");
                let serving = Server::builder().add_service(methods).serve_with_incoming(incoming);
                tokio::select! { _ = serving => {}, _ = stopped => {} }
            });
        });
        let address = address.recv().expect("it listens");
        Self { address, seen, given_up: giving_up, stop: Some(stop), thread: Some(thread) }
    }

    /// What calls said beside their messages, taken.
    pub(crate) fn take(&self) -> Vec<MetadataMap> {
        std::mem::take(&mut self.seen.lock().expect("no panic while held"))
    }

    /// Ends at once, whatever it is doing.
    pub(crate) fn kill(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Methods ===

impl NamedService for Methods {
    const NAME: &'static str = "echo.Echo";
}

impl Service<http::Request<Body>> for Methods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method { path: request.uri().path().to_owned(), methods: self.clone() };
        Box::pin(async move {
            let codec = ProstCodec::<Note, Note>::default();
            let grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
            Ok({ grpc }.streaming(method, request).await)
        })
    }
}

impl StreamingService<Note> for Method {
    type Response = Note;
    type ResponseStream = BoxStream<Note>;
    type Future = BoxFuture<Response<BoxStream<Note>>, Status>;

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        let Methods { seen, given_up } = self.methods.clone();
        let (metadata, _, mut notes) = request.into_parts();
        seen.lock().expect("no panic while held").push(metadata.clone());
        let path = self.path.clone();
        Box::pin(async move {
            let stream: BoxStream<Note> = match path.as_str() {
                "/echo.Echo/Say" => {
                    let note = notes.message().await?.ok_or_else(|| Status::invalid_argument("no note"))?;
                    if note.text == "refuse" {
                        let status = Status::with_details(
                            tonic::Code::FailedPrecondition,
                            "50 % of \u{e9}s\n",
                            vec![0, 255].into(),
                        );
                        return Err(status);
                    }
                    Box::pin(stream::once(async { Ok(note) }))
                }
                "/echo.Echo/Count" => {
                    let note = notes.message().await?.ok_or_else(|| Status::invalid_argument("no note"))?;
                    let numbers = stream::iter(0..note.number);
                    let text = note.text.clone();
                    let counted = numbers.map(move |number| Ok(Note { number, ..note.clone() }));
                    match text.as_str() {
                        "fail" => Box::pin(counted.chain(stream::once(async { Err(Status::data_loss("lost")) }))),
                        "last" => {
                            let lasting = Lasting(given_up);
                            Box::pin(counted.chain(stream::once(async move {
                                let _lasting = lasting;
                                std::future::pending().await
                            })))
                        }
                        _ => Box::pin(counted),
                    }
                }
                "/echo.Echo/Sum" => {
                    let mut sum = Note::default();
                    while let Some(note) = notes.message().await? {
                        sum.number += note.number;
                        sum.text.push_str(&note.text);
                    }
                    Box::pin(stream::once(async { Ok(sum) }))
                }
                "/echo.Echo/Talk" => Box::pin(notes),
                // It speaks, and hears no more.
                "/echo.Echo/Tick" => {
                    let note = notes.message().await?.ok_or_else(|| Status::invalid_argument("no note"))?;
                    Box::pin(stream::iter(0..note.number).then(move |number| {
                        let _open = &notes;
                        async move {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            Ok(Note::new("", number))
                        }
                    }))
                }
                // It hears, and speaks when that is over.
                "/echo.Echo/Hear" => Box::pin(stream::once(async move {
                    let mut sum = Note::default();
                    while let Some(note) = notes.message().await? {
                        sum.number += note.number;
                    }
                    Ok(sum)
                })),
                "/echo.Echo/Never" => {
                    let _lasting = Lasting(given_up);
                    std::future::pending().await
                }
                _ => return Err(Status::unimplemented("no such method")),
            };
            let mut response = Response::new(stream);
            // What came beside the messages goes back beside them.
            if let Some(value) = metadata.get("x-tag") {
                response.metadata_mut().insert("x-tag", value.clone());
            }
            if let Some(value) = metadata.get_bin("x-tag-bin") {
                response.metadata_mut().insert_bin("x-tag-bin", value.clone());
            }
            Ok(response)
        })
    }
}
