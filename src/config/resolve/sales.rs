//! What is sold: the prices of plans and routes as offers, one at each place where money goes.
//!
//! 1. A price that nobody could pay is refused: there must be `[x402]`, a place where money goes, and a token in which
//!    the price can be said.
//! 2. A key of a sale on a route that sells nothing is refused, because whoever wrote it believes that the route is
//!    paid for.

use std::time::Duration;

use super::{plans::Plan, x402::Accepted};
use crate::{
    config::{
        amounts,
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    gate::settings::PlanForSale,
    policy::{
        rule::{Requirement, Rule},
        sale::{AccessScope, Sale, Settle},
    },
    x402::{
        asset::{Price, PriceError},
        terms::{Offer, PaymentFlow},
    },
};

/// What a settlement may take once the upstream has answered (x402.md section 5).
const SETTLEMENT: Duration = Duration::from_secs(15);

/// Offers of one challenge. Each is about 440 bytes of its header, and many clients take 16 KiB of headers.
const OFFERS_MAX: usize = 24;

/// Bytes of a description: a few sentences, in a header that has to hold the offers as well.
const DESCRIPTION_BYTES_MAX: usize = 1024;

/// Bytes of a media type: RFC 6838 section 4.2 has 127 for each of its two names.
const MIME_TYPE_BYTES_MAX: usize = 255;

/// All that a price rests on, and what plans are sold for.
pub(super) struct Market {
    /// Where `[x402]` is; nothing: no money is taken.
    payments: Option<Place>,
    /// Where money goes.
    accepted: Vec<Accepted>,
    /// Whether a place where money goes was wrong, so that others may only seem to be missing.
    faulty: bool,
    plans: Vec<PlanPrices>,
}

/// A plan with its offers.
struct PlanPrices {
    name: String,
    length: Duration,
    prices: Prices,
}

/// One price at each place where money goes, settled after the upstream's head and before the request.
#[derive(Default)]
struct Prices {
    offers: Vec<Offer>,
    upfront: Vec<Offer>,
}

/// Reads a price; nothing if there is none, or a fault.
pub(super) fn price(text: &Text, report: &mut Report) -> Option<Price> {
    if text.value.is_empty() {
        return None;
    }
    let error = match Price::parse(&text.value) {
        Ok(price) => return Some(price),
        Err(error) => error,
    };
    let hint = match error {
        // The error quotes the text as it counts, which may have come from outside.
        PriceError::Form(_) => "expected something like `$0.01`".to_owned(),
        error => error.to_string(),
    };
    report.error(&text.place, format!("`{}` is no price", text.shown), hint);
    None
}

impl Market {
    /// Puts a price on each plan that has one.
    pub(super) fn new(x402: Option<&Section>, accepted: Vec<Accepted>, plans: &[Plan], report: &mut Report) -> Self {
        let faulty = x402.is_some_and(|section| section.sections("accept").len() != accepted.len());
        let payments = x402.map(|section| section.place.clone());
        let mut market = Self { payments, accepted, faulty, plans: Vec::new() };
        for plan in plans {
            let Some((price, text)) = &plan.price else {
                continue;
            };
            let label = format!("plan \"{}\"", plan.name);
            if let Some(prices) = market.prices(*price, text, &label, Some(&plan.name), report) {
                market.plans.push(PlanPrices { name: plan.name.clone(), length: plan.period, prices });
            }
        }
        market
    }

    /// Whether there is `[x402]`.
    pub(super) const fn is_open(&self) -> bool {
        self.payments.is_some()
    }

    /// Where money goes.
    pub(super) fn accepted(&self) -> &[Accepted] {
        &self.accepted
    }

    /// Whether a place where money goes was wrong.
    pub(super) const fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// Plans that are for sale.
    pub(super) fn plans(&self) -> Vec<PlanForSale> {
        let plans = self.plans.iter().map(|plan| PlanForSale {
            name: plan.name.clone(),
            length: plan.length,
            offers: plan.prices.offers.clone(),
        });
        plans.collect()
    }

    /// What a route sells; nothing: nothing, or a fault.
    pub(super) fn sale(
        &self,
        section: &Section,
        label: &str,
        requirement: &Requirement,
        report: &mut Report,
    ) -> Option<Sale> {
        check_keys(section, label, requirement, report);
        let prices = match requirement {
            Requirement::Public | Requirement::Wallet => return None,
            Requirement::Payment { .. } => self.route_prices(section, label, report)?,
            Requirement::Subscription { plans } => self.plan_prices(plans)?,
        };
        if prices.offers.len() > OFFERS_MAX {
            let title = format!("{label} offers {} prices", prices.offers.len());
            let hint = format!("many clients cannot read a challenge of more than {OFFERS_MAX}");
            report.warn(&section.place, title, hint);
        }
        Some(Sale {
            offers: prices.offers,
            upfront: prices.upfront,
            settle: match section.text("settle").value.as_str() {
                "before" => Settle::Before,
                "on-headers" => Settle::OnHeaders,
                _ => Settle::ByMethod,
            },
            access_for: section.duration_if_any("access_for"),
            access_scope: match section.text("access_scope").value.as_str() {
                "path" => AccessScope::Path,
                _ => AccessScope::Route,
            },
            description: bounded(section.text("description"), DESCRIPTION_BYTES_MAX, report),
            mime_type: bounded(section.text("mime_type"), MIME_TYPE_BYTES_MAX, report),
        })
    }

    /// The price of a route that is paid for.
    fn route_prices(&self, section: &Section, label: &str, report: &mut Report) -> Option<Prices> {
        let text = section.text("price");
        if !self.is_open() {
            let title = format!("{label} is to be paid for, and there is no [x402]");
            report.error(section.place("auth"), title, "it says how payments are made");
        }
        if text.value.is_empty() {
            let title = format!("{label} is to be paid for and has no price");
            report.error(section.place("auth"), title, "expected a key such as `price = \"$0.01\"`");
            return None;
        }
        let price = price(text, report).filter(|_| self.is_open())?;
        self.prices(price, text, label, None, report)
    }

    /// The prices of the plans that open a route, in the route's order, or that of the file where any plan does.
    fn plan_prices(&self, names: &[String]) -> Option<Prices> {
        let sold: Vec<&PlanPrices> = if names.is_empty() {
            self.plans.iter().collect()
        } else {
            names.iter().filter_map(|name| self.plans.iter().find(|plan| plan.name == *name)).collect()
        };
        let mut prices = Prices::default();
        for plan in &sold {
            prices.offers.extend_from_slice(&plan.prices.offers);
            prices.upfront.extend_from_slice(&plan.prices.upfront);
        }
        (!sold.is_empty()).then_some(prices)
    }

    /// A price at each place where money goes; nothing if it is a fault that there is one.
    fn prices(
        &self,
        price: Price,
        text: &Text,
        label: &str,
        plan: Option<&str>,
        report: &mut Report,
    ) -> Option<Prices> {
        if !self.is_open() {
            let title = format!("{label} has a price, and there is no [x402]");
            report.error(&text.place, title, "it says how payments are made");
            return None;
        }
        if self.accepted.is_empty() {
            if !self.faulty {
                let title = format!("{label} has a price, and no [[x402.accept]] says where money goes");
                report.error(&text.place, title, "expected at least one");
            }
            return None;
        }
        let mut prices = Prices::default();
        for accept in self.accepted.iter().map(|accepted| &accepted.accept) {
            let offer = |flow| Offer::new(accept.clone(), price, flow, plan.map(str::to_owned));
            match (offer(PaymentFlow::Authorization), offer(PaymentFlow::Upfront)) {
                (Ok(offer), Ok(upfront)) => {
                    prices.offers.push(offer);
                    prices.upfront.push(upfront);
                }
                (Err(error), _) | (_, Err(error)) => {
                    let title = format!("the price of {label} cannot be paid on `{}`", accept.network);
                    report.error(&text.place, title, error.to_string());
                    return None;
                }
            }
        }
        Some(prices)
    }

    /// What must fit once the routes are known: there is somebody to ask about payments, and they live long enough.
    pub(super) fn check(&self, x402: Option<&Section>, root: &Section, rules: &[Rule], report: &mut Report) {
        let mut sections = root.sections("plan").iter().chain(root.sections("route"));
        let is_priced = sections.any(|section| !section.text("price").value.is_empty());
        if let Some(section) = x402.filter(|section| is_priced && section.sections("facilitator").is_empty()) {
            let hint = "expected at least one [[x402.facilitator]]: it verifies payments and moves the money";
            report.error(&section.place, "there are prices and no facilitator", hint);
        }
        for accepted in &self.accepted {
            check_timeout(accepted, root, rules, report);
        }
    }
}

/// A text for people, within its bound.
fn bounded(text: &Text, bytes_max: usize, report: &mut Report) -> String {
    if text.value.len() > bytes_max {
        let title = format!("`{}` has {} bytes", text.shown, text.value.len());
        report.error(&text.place, title, format!("expected at most {bytes_max}: every challenge holds it"));
    }
    text.value.clone()
}

/// A payment must outlive the slowest upstream of what is sold, or that works for a signature that has lapsed
/// (x402.md section 5).
fn check_timeout(accepted: &Accepted, root: &Section, rules: &[Rule], report: &mut Report) {
    let upstreams = root.named("upstreams");
    let waits = rules.iter().filter(|rule| rule.sale.is_some()).filter_map(|rule| {
        let (name, upstream) = upstreams.get(rule.upstream)?;
        Some((upstream.duration("response_timeout"), rule, name))
    });
    // Of equals `max_by_key` takes the last, and the first is the one to be named.
    let waits: Vec<_> = waits.collect();
    let Some((wait, rule, upstream)) = waits.into_iter().rev().max_by_key(|(wait, ..)| *wait) else {
        return;
    };
    let least = wait + SETTLEMENT;
    if Duration::from_secs(accepted.accept.timeout_secs.into()) >= least {
        return;
    }
    let title = format!(
        "a payment on `{}` may lapse before upstream \"{}\" of route \"{}\" answers",
        accepted.accept.network, upstream.shown, rule.name
    );
    let (wait, settlement) = (amounts::write_duration(wait), amounts::write_duration(SETTLEMENT));
    let least = amounts::write_duration(least);
    let hint = format!("expected at least `{least}`: its response_timeout of {wait}, and {settlement} to settle");
    report.error(&accepted.timeout_place, title, hint);
}

/// Refuses what is said about a sale on a route that makes none.
fn check_keys(section: &Section, label: &str, requirement: &Requirement, report: &mut Report) {
    let auth = &section.text("auth").value;
    let mut refuse = |key: &str, counts: &str| {
        let title = format!("`{key}` of {label} has no use with `auth = \"{auth}\"`");
        report.error(section.place(key), title, format!("it counts with {counts}"));
    };
    if matches!(requirement, Requirement::Payment { .. }) {
        return;
    }
    let counts = "`auth = \"payment\"`";
    if !section.text("price").value.is_empty() {
        refuse("price", counts);
    }
    if section.duration_if_any("access_for").is_some() {
        refuse("access_for", counts);
    }
    if section.text("access_scope").value != "route" {
        refuse("access_scope", counts);
    }
    if matches!(requirement, Requirement::Subscription { .. }) {
        return;
    }
    for key in ["description", "mime_type", "settle"] {
        if !section.text(key).value.is_empty() {
            refuse(key, "`auth = \"payment\"` or `\"subscription\"`");
        }
    }
}
