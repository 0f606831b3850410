//! Calls of gRPC from a real client to a real service, through the gateway (hardening.md sections 4 and 5).

mod service;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use tonic::{
    Code, Request, Response, Status, Streaming,
    client::Grpc,
    metadata::{MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_prost::ProstCodec;

use self::service::{Echo, MESSAGE_MAX, Note};
use crate::{
    failures::Flaky,
    harness::{Gateway, Setup, Shop, Wallet, key, tls::Authority},
};

const TABLES: &str = "\n[[route]]\nname = \"echo\"\nprefix = \"/echo.Echo\"\nupstream = \"api\"\nauth = \"wallet\"\n\
                      trailers = true\n";

/// How long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of the service, with a token or without one.
struct Client {
    grpc: Grpc<Channel>,
    token: Option<String>,
}

fn before(service: &Echo) -> Setup {
    Setup::to(&format!("h2c://{}", service.address)).tables(TABLES)
}

/// The gateway by a name that its certificate has, if it has one.
fn endpoint(gateway: &Gateway, scheme: &str) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", gateway.address)).expect("a URL");
    endpoint.origin(format!("{scheme}://api.example.com").parse().expect("a URL"))
}

impl Client {
    fn over(endpoint: &Endpoint, gateway: &Gateway, token: Option<String>) -> Self {
        if let Some(token) = &token {
            gateway.secrets.add(token);
        }
        let grpc = Grpc::new(endpoint.connect_lazy());
        Self { grpc: grpc.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX), token }
    }

    fn of(gateway: &Gateway) -> Self {
        Self::over(&endpoint(gateway, "http"), gateway, Some(Wallet::evm(1).token()))
    }

    async fn ready<T>(&mut self, request: &mut Request<T>) {
        self.grpc.ready().await.expect("the gateway accepts");
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.parse().expect("a value"));
        }
    }

    async fn say(&mut self, mut request: Request<Note>) -> Result<Response<Note>, Status> {
        self.ready(&mut request).await;
        let path = PathAndQuery::from_static("/echo.Echo/Say");
        self.grpc.unary(request, path, ProstCodec::default()).await
    }

    async fn count(&mut self, mut request: Request<Note>) -> Result<Response<Streaming<Note>>, Status> {
        self.ready(&mut request).await;
        let path = PathAndQuery::from_static("/echo.Echo/Count");
        self.grpc.server_streaming(request, path, ProstCodec::default()).await
    }

    async fn sum(&mut self, notes: Vec<Note>) -> Result<Response<Note>, Status> {
        let mut request = Request::new(stream::iter(notes));
        self.ready(&mut request).await;
        let path = PathAndQuery::from_static("/echo.Echo/Sum");
        self.grpc.client_streaming(request, path, ProstCodec::default()).await
    }

    async fn talk(
        &mut self,
        path: &'static str,
        notes: tokio::sync::mpsc::UnboundedReceiver<Note>,
    ) -> Result<Response<Streaming<Note>>, Status> {
        let notes = stream::unfold(notes, async |mut notes| Some((notes.recv().await?, notes)));
        let mut request = Request::new(notes);
        self.ready(&mut request).await;
        self.grpc.streaming(request, PathAndQuery::from_static(path), ProstCodec::default()).await
    }
}

fn text<'m>(metadata: &'m MetadataMap, name: &str) -> Option<&'m str> {
    metadata.get(name).and_then(|value| value.to_str().ok())
}

/// All that a stream says, and how it ends.
async fn all(mut answer: Streaming<Note>) -> (Vec<u32>, Option<Status>) {
    let mut numbers = Vec::new();
    while let Some(note) = answer.next().await {
        match note {
            Ok(note) => numbers.push(note.number),
            Err(status) => return (numbers, Some(status)),
        }
    }
    (numbers, None)
}

/// Every kind of call, once.
async fn each_kind(client: &mut Client) {
    let said = client.say(Request::new(Note::new("hello", 7))).await.expect("an answer");
    assert_eq!(said.get_ref(), &Note::new("hello", 7));
    let counted = client.count(Request::new(Note::new("", 1000))).await.expect("an answer").into_inner();
    let (numbers, end) = all(counted).await;
    assert!(end.is_none() && numbers.iter().copied().eq(0..1000), "{} {end:?}", numbers.len());
    let notes = (1..=1000).map(|number| Note::new("x", number)).collect();
    let sum = client.sum(notes).await.expect("an answer").into_inner();
    assert_eq!((sum.number, sum.text.len()), (500_500, 1000));
    let (notes, listening) = tokio::sync::mpsc::unbounded_channel();
    let mut talk = client.talk("/echo.Echo/Talk", listening).await.expect("an answer").into_inner();
    for number in 0..20 {
        notes.send(Note::new("ping", number)).expect("it is listened to");
        let heard = talk.message().await.expect("no fault").expect("a note");
        assert_eq!(heard, Note::new("ping", number), "each comes back before the next one goes");
    }
    drop(notes);
    assert_eq!(talk.message().await.expect("no fault"), None);
}

#[test]
fn calls_of_each_kind_go_through() {
    let service = Echo::start();
    let gateway = before(&service).start();
    gateway.block_on(async { each_kind(&mut Client::of(&gateway)).await });
    assert_eq!(service.take().len(), 4);
}

#[test]
fn calls_of_each_kind_go_through_over_tls() {
    let (service, authority) = (Echo::start(), Authority::new());
    let gateway = before(&service).hosts(Vec::new()).tables(&authority.tables(&[&["api.example.com"]])).start();
    let ca = Certificate::from_pem(std::fs::read(authority.file()).expect("a file"));
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("api.example.com");
    gateway.block_on(async {
        let endpoint = endpoint(&gateway, "https").tls_config(tls).expect("a configuration");
        each_kind(&mut Client::over(&endpoint, &gateway, Some(Wallet::evm(1).token()))).await;
    });
    assert_eq!(service.take().len(), 4);
}

#[test]
fn what_stands_beside_messages_goes_both_ways() {
    let service = Echo::start();
    let gateway = before(&service).start();
    let mut request = Request::new(Note::new("x", 1));
    let metadata = request.metadata_mut();
    metadata.insert("x-tag", "one".parse().expect("a value"));
    metadata.insert_bin("x-tag-bin", MetadataValue::from_bytes(&[0, 255, 10]));
    metadata.insert("x-siwx-account", "eip155:1:0xevil".parse().expect("a value"));
    metadata.insert_bin("x-siwx-bin", MetadataValue::from_bytes(b"evil"));
    let said = gateway.block_on(async { Client::of(&gateway).say(request).await }).expect("an answer");
    assert_eq!(text(said.metadata(), "x-tag"), Some("one"));
    let bytes = said.metadata().get_bin("x-tag-bin").and_then(|value| value.to_bytes().ok());
    assert_eq!(bytes.as_deref(), Some(&[0, 255, 10][..]));
    let seen = service.take().remove(0);
    assert_eq!(text(&seen, "x-siwx-account"), Some(Wallet::evm(1).account().as_str()), "F2");
    assert!(seen.get_bin("x-siwx-bin").is_none() && seen.get("authorization").is_none(), "{seen:?}");
    assert!(text(&seen, "user-agent").is_some_and(|agent| agent.starts_with("tonic/")), "{seen:?}");
}

#[test]
fn what_the_service_says_of_a_call_reaches_the_client() {
    let service = Echo::start();
    let gateway = before(&service).start();
    gateway.block_on(async {
        let mut client = Client::of(&gateway);
        let refused = client.say(Request::new(Note::new("refuse", 0))).await.expect_err("a refusal");
        assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "50 % of \u{e9}s\n"));
        assert_eq!(refused.details(), [0, 255]);
        let counted = client.count(Request::new(Note::new("fail", 3))).await.expect("an answer").into_inner();
        let (numbers, end) = all(counted).await;
        let end = end.expect("a status");
        assert_eq!((numbers, end.code(), end.message()), (vec![0, 1, 2], Code::DataLoss, "lost"));
        let mut request = Request::new(Note::default());
        client.ready(&mut request).await;
        let path = PathAndQuery::from_static("/echo.Echo/Nothing");
        let unknown = client.grpc.unary::<_, Note, _>(request, path, ProstCodec::<Note, Note>::default()).await;
        assert_eq!(unknown.expect_err("a refusal").code(), Code::Unimplemented);
    });
}

/// hardening.md section 5, as a client of gRPC has it.
#[test]
fn refusals_are_statuses() {
    let service = Echo::start();
    let store = Flaky::new();
    let sold = TABLES.replace("\"wallet\"", "\"subscription\"");
    let to = || Setup::to(&format!("h2c://{}", service.address));
    let token = Some(Wallet::evm(1).token());
    let say = |gateway: &Gateway, token: Option<String>| {
        let call =
            async { Client::over(&endpoint(gateway, "http"), gateway, token).say(Request::new(Note::default())).await };
        gateway.block_on(call).expect_err("a refusal").code()
    };
    let gateway = before(&service).start();
    assert_eq!(say(&gateway, None), Code::Unauthenticated, "401");
    assert_eq!(say(&gateway, Some("SIWX x.y".to_owned())), Code::Unauthenticated, "401");
    let gateway = to().tables(&sold).start();
    assert_eq!(say(&gateway, token.clone()), Code::PermissionDenied, "403");
    let route = "[[route]]\nname = \"echo\"\nprefix = \"/echo.Echo\"\nupstream = \"api\"\nauth = \"payment\"\n\
                 price = \"$0.01\"\n";
    let shop = Shop::open(route);
    assert_eq!(say(&shop.gateway, None), Code::PermissionDenied, "402");
    assert_eq!(shop.upstream.take().len(), 0);
    let gateway = before(&service).set("limits.auth_failures", "1/h").start();
    let codes: Vec<_> = (0..3).map(|_| say(&gateway, Some("SIWX x.y".to_owned()))).collect();
    assert_eq!(codes.last(), Some(&Code::ResourceExhausted), "429: {codes:?}");
    let gateway = to().tables(&sold).store(store.store()).start();
    store.fail(true);
    assert_eq!(say(&gateway, token.clone()), Code::Unavailable, "503");
    assert!(service.take().is_empty(), "none of them reached the service");
    let mut service = service;
    let gateway = before(&service).start();
    service.kill();
    assert_eq!(say(&gateway, token), Code::Unavailable, "502");
}

/// Asks for a few numbers of a stream that does not end, and takes them.
async fn lasting(client: &mut Client) -> Streaming<Note> {
    let mut request = Request::new(Note::new("last", 3));
    client.ready(&mut request).await;
    let path = PathAndQuery::from_static("/echo.Echo/Count");
    let answer = client.grpc.server_streaming(request, path, ProstCodec::default()).await;
    let mut answer = answer.expect("an answer").into_inner();
    for number in 0..3 {
        assert_eq!(answer.message().await.expect("no fault").map(|note: Note| note.number), Some(number));
    }
    answer
}

/// It was reset before, which a client takes for CANCELLED or INTERNAL, and for nothing to try again.
#[test]
fn u4_a_call_whose_service_dies_is_unavailable() {
    let mut service = Echo::start();
    let gateway = before(&service).start();
    gateway.block_on(async {
        let mut answer = lasting(&mut Client::of(&gateway)).await;
        service.kill();
        let end = answer.message().await.expect_err("no clean end");
        assert_eq!((end.code(), end.message()), (Code::Unavailable, "the service behind the gateway broke off"));
    });
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((line["status"].as_u64(), line["aborted"].as_str()), (Some(200), Some("upstream")), "{line}");
}

#[test]
fn u7_a_call_whose_service_falls_silent_is_ended_with_a_status() {
    let service = Echo::start();
    let gateway = before(&service).tables("idle_timeout = \"100ms\"\n").start();
    gateway.block_on(async {
        let mut answer = lasting(&mut Client::of(&gateway)).await;
        assert_eq!(answer.message().await.expect_err("no clean end").code(), Code::DeadlineExceeded);
    });
    service.given_up.recv_timeout(PATIENCE).expect("the service is told");
}

#[test]
fn a_call_ends_with_what_let_it_in_and_says_which_it_was() {
    let service = Echo::start();
    let sold = TABLES.replace("\"wallet\"", "\"subscription\"").replace("echo.Echo", "echo.Echo/Count");
    let gateway =
        before(&service).tables(&sold.replace("\"echo\"", "\"sold\"")).tables("recheck = \"100ms\"\n").start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    let mut answer = gateway.block_on(async { lasting(&mut Client::of(&gateway)).await });
    let revoked = gateway.block_on(gateway.store.subscriptions().revoke(&key(&wallet), "nano"));
    assert!(revoked.expect("the store revokes"));
    gateway.gate.changed(&key(&wallet));
    let end = gateway.block_on(answer.message()).expect_err("no clean end");
    assert_eq!(end.code(), Code::PermissionDenied, "{end:?}");
    gateway.grant(&wallet, "nano");
    gateway.gate.changed(&key(&wallet));
    let mut answer = gateway.block_on(async { lasting(&mut Client::of(&gateway)).await });
    gateway.set_time("2026-11-20T11:00:00.000Z");
    let end = gateway.block_on(answer.message()).expect_err("no clean end");
    assert_eq!(end.code(), Code::Unauthenticated, "{end:?}");
    for _ in 0..2 {
        service.given_up.recv_timeout(PATIENCE).expect("the service is told");
    }
}

#[test]
fn deadlines_pass_through_and_end_the_call_on_both_sides() {
    let service = Echo::start();
    let gateway = before(&service).start();
    gateway.block_on(async {
        let mut client = Client::of(&gateway);
        let mut request = Request::new(Note::default());
        request.set_timeout(Duration::from_millis(300));
        client.ready(&mut request).await;
        let path = PathAndQuery::from_static("/echo.Echo/Never");
        let late = client.grpc.unary::<_, Note, _>(request, path, ProstCodec::<Note, Note>::default()).await;
        let code = late.expect_err("no answer").code();
        assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code:?}");
    });
    service.given_up.recv_timeout(PATIENCE).expect("the service is told");
    let seen = service.take().remove(0);
    assert!(text(&seen, "grpc-timeout").is_some(), "{seen:?}");
}

#[test]
fn a_service_that_does_not_answer_in_time_is_a_deadline_that_passed() {
    let service = Echo::start();
    let gateway = before(&service).set("upstreams.api.response_timeout", "200ms").start();
    gateway.block_on(async {
        let mut client = Client::of(&gateway);
        let mut request = Request::new(Note::default());
        client.ready(&mut request).await;
        let path = PathAndQuery::from_static("/echo.Echo/Never");
        let late = client.grpc.unary::<_, Note, _>(request, path, ProstCodec::<Note, Note>::default()).await;
        assert_eq!(late.expect_err("no answer").code(), Code::DeadlineExceeded);
    });
    service.given_up.recv_timeout(PATIENCE).expect("the service is told");
}

#[test]
fn a_large_message_goes_both_ways() {
    let service = Echo::start();
    let gateway = before(&service).start();
    let load: Vec<u8> = (0..6_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    let note = Note { load, ..Note::new("large", 1) };
    let said = gateway.block_on(async { Client::of(&gateway).say(Request::new(note.clone())).await });
    assert!(said.expect("an answer").into_inner() == note, "byte for byte");
}

#[test]
fn more_than_a_route_takes_ends_a_call_that_has_begun() {
    let service = Echo::start();
    let gateway = before(&service).tables("body_bytes = \"10KiB\"\n").start();
    gateway.block_on(async {
        let (notes, listening) = tokio::sync::mpsc::unbounded_channel();
        let mut talk = Client::of(&gateway).talk("/echo.Echo/Talk", listening).await.expect("an answer").into_inner();
        notes.send(Note::new("short", 1)).expect("it is listened to");
        assert_eq!(talk.message().await.expect("no fault"), Some(Note::new("short", 1)));
        notes.send(Note { load: vec![0; 20_000], ..Note::default() }).expect("it is listened to");
        let end = talk.message().await.expect_err("no clean end");
        assert_eq!((end.code(), end.message()), (Code::ResourceExhausted, "the request is longer than allowed here"));
    });
}

/// Half a minute of a client that only listened ended its call, whatever the service had to say.
#[test]
fn a_side_of_a_call_that_only_listens_does_not_end_it() {
    let service = Echo::start();
    let setup = before(&service).tables("idle_timeout = \"400ms\"\n").set("limits.body_idle_timeout", "100ms");
    let gateway = setup.start();
    gateway.block_on(async {
        let mut client = Client::of(&gateway);
        let (notes, listening) = tokio::sync::mpsc::unbounded_channel();
        notes.send(Note::new("", 10)).expect("it is listened to");
        let ticking = client.talk("/echo.Echo/Tick", listening).await.expect("an answer").into_inner();
        let (numbers, end) = all(ticking).await;
        assert!(end.is_none() && numbers.len() == 10, "the service speaks: {} {end:?}", numbers.len());
        let (notes, listening) = tokio::sync::mpsc::unbounded_channel();
        let mut hearing = client.talk("/echo.Echo/Hear", listening).await.expect("an answer").into_inner();
        for number in 1..=10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            notes.send(Note::new("", number)).expect("it is listened to");
        }
        drop(notes);
        assert_eq!(hearing.message().await.expect("no fault").map(|sum| sum.number), Some(55), "the client speaks");
    });
}

/// Clients measure how wide their windows have to be by PINGs among what they get.
#[test]
fn a_client_that_measures_its_way_by_pings_is_not_taken_for_a_flood() {
    let service = Echo::start();
    let gateway = before(&service).start();
    gateway.block_on(async {
        let endpoint = endpoint(&gateway, "http").http2_adaptive_window(true);
        let mut client = Client::over(&endpoint, &gateway, Some(Wallet::evm(1).token()));
        let note = Note { load: vec![7; 60_000], ..Note::new("", 500) };
        let (numbers, end) = all(client.count(Request::new(note)).await.expect("an answer").into_inner()).await;
        assert!(end.is_none() && numbers.len() == 500, "{} {end:?}", numbers.len());
    });
    gateway.expect_metric("siwx_h2_goaways_total{reason=\"ping\"}", 0.0);
}
