//! stand-in
#![allow(missing_docs)]
use super::{
    rule::{Pattern, Rule},
    target::CanonicalPath,
};
use http::Method;
#[derive(Debug)]
pub struct Routes(Vec<Rule>);
pub enum Found<'r> {
    Rule { rule: &'r Rule, place: usize },
    None,
}
#[derive(Debug)]
pub struct RouteFault;
impl Routes {
    pub fn build(rules: Vec<Rule>) -> Result<Self, Vec<RouteFault>> {
        Ok(Self(rules))
    }
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }
    pub fn find(&self, _: &Method, _: &str, path: &CanonicalPath<'_>) -> Found<'_> {
        for (place, rule) in self.0.iter().enumerate() {
            let ok = match &rule.pattern {
                Pattern::Exact(p) => p == path.as_str(),
                Pattern::Prefix(p) => path.as_str().starts_with(p.as_str()),
            };
            if ok {
                return Found::Rule { rule, place };
            }
        }
        Found::None
    }
}
