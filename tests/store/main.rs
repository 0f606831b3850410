//! The rules that every store keeps, run on each of them, and what SQLite promises besides.

mod rules;
mod sqlite;
