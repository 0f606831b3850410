//! The gateway's life: what it is told anew while it serves, and how it ends.

mod certificates;
mod drain;
mod load;
mod reload;
mod sockets;
