//! `[[plan]]`: what subscriptions are to, what a plan costs and how much it may be used.

use std::time::Duration;

use super::{DEFAULT_PLAN, is_name, sales};
use crate::{
    config::{report::Report, section::Section, tree::Text},
    gate::settings::{PlanLimits, Quota},
    x402::asset::Price,
};

/// A plan of the file.
pub(super) struct Plan {
    pub(super) name: String,
    /// Its price and where that stands; nothing: it is not for sale.
    pub(super) price: Option<(Price, Text)>,
    /// How much longer one purchase makes it.
    pub(super) period: Duration,
    pub(super) limits: PlanLimits,
}

/// Reads all plans. One whose name is wrong is left out.
pub(super) fn plans(sections: &[Section], report: &mut Report) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for section in sections {
        let text = section.text("price");
        let price = sales::price(text, report).map(|price| (price, text.clone()));
        let Some(name) = section.given("name").filter(|name| is_name("a plan", name, report)) else {
            continue;
        };
        if plans.iter().any(|plan| plan.name == name.value) {
            report.error(&name.place, format!("plan \"{}\" stands twice", name.shown), "");
        } else if name.value == DEFAULT_PLAN {
            report.error(&name.place, "plan \"default\" needs no entry", "it is there in every configuration");
        } else {
            let name = name.value.clone();
            let limits = limits(name.clone(), section);
            plans.push(Plan { name, price, period: section.duration("period"), limits });
        }
    }
    plans
}

fn limits(name: String, section: &Section) -> PlanLimits {
    let quota = section.section_if_given("quota").and_then(|quota| {
        // A quota of which a part is missing has its report.
        let requests = quota.whole_if_given("requests")?;
        quota.field("window")?;
        Some(Quota { requests, window: quota.duration("window") })
    });
    PlanLimits { name, rate: section.rate("rate"), quota }
}
