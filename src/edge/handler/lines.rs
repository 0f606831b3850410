//! What the access log says of a request before its end.

use http::{
    Request,
    header::{HOST, USER_AGENT},
};
use hyper::body::Incoming;

use super::{Arrival, Worker};
use crate::{
    caip::AccountId,
    edge::{
        access_log::Line,
        peer::{Logged, Peer},
    },
    gate::Judged,
    policy::identity::Known,
};

impl Worker {
    /// The part of the access line that is known from the head alone.
    pub(super) fn first_line(&self, arrival: &Arrival, peer: &Peer, request: &Request<Incoming>) -> Option<Line> {
        let mut line = self.log.line(arrival.now)?;
        line.plain("request_id", self.id(arrival).to_str().unwrap_or(""));
        line.plain("client_ip", Logged(peer.client(arrival.relayed.as_deref())));
        line.plain("peer_ip", Logged(peer.socket()));
        line.method(request.method());
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        line.host(host.or_else(|| request.uri().host()));
        line.path(request.uri().path());
        line.query(request.uri().query(), self.log.query_shown());
        line.plain("proto", format_args!("{:?}", request.version()));
        line.optional("tls", peer.tls());
        line.agent(request.headers().get(USER_AGENT));
        Some(line)
    }

    /// The same, of a request whose head is none: nothing in it is shown.
    pub(super) fn refused_line(&self, arrival: &Arrival, peer: &Peer) -> Option<Line> {
        let mut line = self.log.line(arrival.now)?;
        line.plain("request_id", self.id(arrival).to_str().unwrap_or(""));
        line.plain("client_ip", Logged(peer.client(None)));
        line.plain("peer_ip", Logged(peer.socket()));
        for unread in ["method", "host", "path", "query", "proto"] {
            line.null(unread);
        }
        line.optional("tls", peer.tls());
        Some(line)
    }

    /// The part that is known once it is judged.
    pub(super) fn judged_line(&self, line: &mut Line, judged: &Judged<'_>) {
        line.text("route", judged.rule.map_or("none", |rule| &rule.name));
        let reason = judged.reason();
        line.optional("decision", reason.map(|reason| reason.decision()));
        line.optional("reason", reason.map(|reason| reason.as_str()));
        let known = judged.known();
        let payer = judged.payer();
        let account = known.map(Known::account).or(payer);
        line.account(account, self.log.account_shown());
        line.optional("chain", account.map(AccountId::chain_str));
        line.optional("scheme", known.map(|known| known.scheme().as_str()).or_else(|| payer.map(|_| "payment")));
        line.optional("plan", judged.plan());
        line.optional("cache", judged.is_warm().map(|warm| if warm { "hit" } else { "miss" }));
        line.number("auth_us", judged.after.as_micros());
    }
}
