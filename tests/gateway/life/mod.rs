//! The gateway's life: what it is told anew while it serves, and how it ends.

mod reload;
