//! stand-in
#![allow(missing_docs)]
use std::borrow::Cow;
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad path")]
pub struct PathError;
#[derive(Debug, Clone)]
pub struct CanonicalPath<'r>(Cow<'r, str>);
impl<'r> CanonicalPath<'r> {
    pub fn parse(p: &'r str) -> Result<Self, PathError> {
        Ok(Self(Cow::Borrowed(p)))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
pub struct Host<'r>(Cow<'r, str>);
impl<'r> Host<'r> {
    pub fn parse(p: &'r str) -> Result<Self, PathError> {
        Ok(Self(Cow::Borrowed(p.split(':').next().unwrap_or(""))))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
pub fn check_query(_: &str) -> Result<(), PathError> {
    Ok(())
}
pub fn rewrite<'p>(path: &'p CanonicalPath<'_>, _: &str, _: &str) -> Result<Cow<'p, str>, PathError> {
    Ok(Cow::Borrowed(path.as_str()))
}
