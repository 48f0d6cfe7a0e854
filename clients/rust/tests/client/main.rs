//! The client against a server in this process. What clients of all languages do is tried by
//! clients/conformance; here is what is Rust's own.

mod calls;
mod credentials;
mod server;
mod watching;
