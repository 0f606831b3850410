//! The rules that every store keeps, run on each of them, and what SQLite promises besides.

mod payments;
mod quotas;
mod rules;
mod sessions;
mod sessions_in_a_file;
mod sqlite;
mod two_processes;
