//! The session API: how pages sign in, see who is signed in, and sign out (sessions.md sections 2 and 3).
//!
//! | file | what |
//! |---|---|
//! | `path` | which paths are ours |
//! | `visit` | one request: who may ask, by what it is answered |
//! | `sessions` | the endpoints of sessions, and `me`, `refresh` and `sign-out` |
//! | `message` | messages that are written here |
//! | `reown` | the endpoints that AppKit's cloud class asks |
//! | `read` | bodies and queries |
//! | `cookie` | the cookie, given and taken away |
//! | `cors` | scripts of other origins |
//! | `answers` | answers, apart from their status codes |
//! | `refusal` | a refusal of a route, dressed in the login page |
//!
//! 1. What is below a prefix of ours is answered here, whatever routes say, and never forwarded.
//! 2. A page that is neither ours nor listed changes nothing. That is seen before a body is read.
//! 3. Who is not signed in is told so by `me`, `refresh` and by nobody else: AppKit disconnects a wallet when the list of
//!    its sessions is an error.
//! 4. Cookies, origins and statuses are here; what a session is, is the gate's.

mod answers;
mod cookie;
mod cors;
mod message;
mod path;
mod read;
mod refusal;
mod reown;
mod sessions;
mod visit;

pub(crate) use self::{
    answers::{Answered, Content},
    path::door,
    refusal::Wanted as LoginWanted,
    visit::{Visit, published},
};
