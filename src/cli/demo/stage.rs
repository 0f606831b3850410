//! The gateway of the demo: configured by a text, as any other gateway is, in front of the echo API, with the test
//! facilitator beside it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::{
    echo,
    script::{Cast, NETWORK, PAID_PATH, PRICE, SELLER},
    test_facilitator,
};
use crate::{
    app::{App, Events, SystemClock, World},
    caip::AccountKey,
    cli::{configuration::Source, console::Failure, run::start_failure, wallet::Wallet},
    store::{self, Grant, Store, Term},
    time::Clock as _,
};

/// The plan that the demo's route asks for.
const PLAN: &str = "nano";

/// Where people expect a gateway and its metrics, if nobody else is there.
const USUAL_PORTS: [u16; 2] = [8080, 9464];

/// A gateway that is bound, an API that is served behind it, and where both are.
pub(super) struct Stage {
    /// The gateway.
    pub(super) app: App,
    /// Its host and port.
    pub(super) gateway: String,
    /// Those of its private listener.
    pub(super) admin: String,
    /// Those of the test facilitator.
    pub(super) facilitator: String,
}

impl Stage {
    /// Sets up everything. Runs on a runtime, on which API and facilitator are served from here on.
    ///
    /// For a demo that is looked at the ports are the usual ones where they are free, and requests are told on
    /// standard error.
    pub(super) async fn set(cast: &Cast, looked_at: bool) -> Result<Self, Failure> {
        let (api, api_address) = listener().await.map_err(unbound)?;
        tokio::spawn(echo::serve(api));
        let (facilitator, facilitator_address) = listener().await.map_err(unbound)?;
        tokio::spawn(test_facilitator::serve(facilitator, NETWORK));
        let [gateway, admin] = free_addresses(looked_at).map_err(unbound)?;
        let text = configuration(gateway, admin, [api_address, facilitator_address], looked_at);
        let (config, report) = Source::own("demo.toml", text).resolve()?;
        let events = Events::start().map_err(Failure::failed)?;
        events.show(config.log);
        let store = store::open(&config.store).map_err(Failure::failed)?;
        for wallet in [&cast.ethereum, &cast.solana] {
            subscribe(&store, wallet).await?;
        }
        let world = World { access_log: Box::new(std::io::stderr()), ..World::system() };
        let app = App::bind_with_store(config, report, world, store).map_err(start_failure)?.log_to(events);
        let facilitator = facilitator_address.to_string();
        Ok(Self { app, gateway: gateway.to_string(), admin: admin.to_string(), facilitator })
    }
}

async fn listener() -> std::io::Result<(tokio::net::TcpListener, SocketAddr)> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn subscribe(store: &Store, wallet: &Wallet) -> Result<(), Failure> {
    let account = AccountKey::new(wallet.namespace(), &wallet.address());
    let grant = Grant::new(account, PLAN, Term::UntilRevoked).map_err(Failure::failed)?;
    store.subscriptions().grant(&grant, SystemClock.now()).await.map_err(Failure::failed)?;
    Ok(())
}

/// Two addresses nobody listens on. The messages of the demo name the port, so it must be known before the gateway
/// binds it; that somebody takes it in between ends the start.
fn free_addresses(usual: bool) -> std::io::Result<[SocketAddr; 2]> {
    let bind = |port| {
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        if usual { TcpListener::bind((Ipv4Addr::LOCALHOST, port)).or_else(|_| any()) } else { any() }
    };
    // Both are held at once, so that they differ.
    let [first, second] = USUAL_PORTS.map(bind);
    let (first, second) = (first?, second?);
    Ok([first.local_addr()?, second.local_addr()?])
}

fn unbound(error: std::io::Error) -> Failure {
    Failure::Failed(format!("cannot listen on loopback: {error}"))
}

fn configuration(
    gateway: SocketAddr,
    admin: SocketAddr,
    [api, facilitator]: [SocketAddr; 2],
    access_log: bool,
) -> String {
    format!(
        r#"public_url = "http://{gateway}"

[server]
listen = ["{gateway}"]
drain_delay = "0s"
drain_timeout = "1s"

[admin]
listen = "{admin}"

[store]
url = "sqlite::memory:"

[log]
level = "warn"
format = "text"

[log.access]
enabled = {access_log}

[[x402.facilitator]]
name = "test"
url = "http://{facilitator}"

[[x402.accept]]
network = "{NETWORK}"
pay_to = "{SELLER}"
asset = "usdc"

[upstreams.echo]
urls = ["http://{api}"]

[[plan]]
name = "{PLAN}"

[[route]]
name = "api"
prefix = "/"
upstream = "echo"
auth = "subscription"
plans = ["{PLAN}"]

[[route]]
name = "paid"
path = "{PAID_PATH}"
upstream = "echo"
auth = "payment"
price = "{PRICE}"
"#
    )
}
