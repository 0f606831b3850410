//! A reverse proxy that lets a request through when a crypto wallet proves itself.

pub mod caip;
pub mod secret;
pub mod time;
