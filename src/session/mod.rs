//! Browser sessions: what a dapp hands over to begin one, the tokens that carry one, and the rules of a set of them.
//!
//! Everything here is pure: texts, keys, settings, a time and random bytes go in; values, texts or one error come out.
//! Whether a signature is right is `chain`'s to say, whether a nonce was used a store's; cookies, origins and status
//! codes are the edge's.
//!
//! 1. Who somebody is comes from the text that a wallet signed, and from nothing beside it. What a dapp sends along must
//!    agree with the text, and is given back as it came.
//! 2. A cookie or token is a secret; what is stored of it is a hash, and what is shown is another name.
//! 3. What is expired is not shown and opens nothing, to the millisecond: no leeway.
//! 4. Every text has a limit on its bytes, and every list one on its entries.
//!
//! | file | what |
//! |---|---|
//! | `sign_in` | bodies of requests to texts that claim to be signed; what is expected of those |
//! | `agree` | whether what stands beside a text says what the text says |
//! | `cacao` | the container of One-Click Auth, which must say what the text says (CAIP-74) |
//! | `recap` | abilities that a text grants, and the sentence that has to name them (ERC-5573) |
//! | `set` | several sessions behind one cookie: which there are, which is shown, which counts |
//! | `shown` | a session as its owner sees it: JSON |
//! | `id` | what cookies hold, what is stored of it, and what sessions are called |
//! | `keys` | the keys of this gateway's tokens, and their public halves (RFC 7517) |
//! | `token` | tokens of three kinds, each good for one thing (RFC 7519) |
//! | `error` | why a sign-in or a session is refused |

mod agree;
pub mod cacao;
pub mod error;
pub mod id;
pub mod keys;
pub mod recap;
pub mod set;
pub mod shown;
pub mod sign_in;
pub mod token;

pub use error::{Class, ItemError, SessionError};

use crate::caip::AccountId;

/// Bytes of a body at most (sessions.md section 2).
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Sessions in one request at most, and behind one cookie: one for each network and account that a dapp keeps signed
/// in, and few enough that each can be asked of a contract again.
pub const SESSIONS_MAX: usize = 16;

/// Bytes of a signature's text at most. Contract wallets that are not deployed yet wrap what deploys them (decision 6).
pub const SIGNATURE_BYTES_MAX: usize = 32 * 1024;

/// What the name of an account as a decentralised identifier begins with (the did:pkh method).
const DID_PREFIX: &str = "did:pkh:";

/// An account as a decentralised identifier, `did:pkh:` and its CAIP-10 id.
pub fn did_pkh(account: &AccountId) -> String {
    format!("{DID_PREFIX}{account}")
}
