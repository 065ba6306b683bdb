//! What a provider author imports. This crate owns the shape of a provider,
//! the replay that lets straight-line code ask for requests it cannot perform
//! itself, and the reading and writing of the documents of `sdk/ABI.md`. It
//! leaves JSON to `serde_json`, and performing requests, checking them and
//! adding client secrets to the host.
//!
//! A provider is a type without state that implements [`Provider`], made the
//! module's one provider by [`provider!`]. Everything but the exports runs
//! natively too.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod conversation;
mod error;
#[doc(hidden)]
pub mod exports;
mod form;
pub mod oauth2;
mod random;
mod request;
mod response;
mod time;
mod values;
mod wire;

pub use conversation::{Conversation, Stop};
pub use error::{Error, Kind};
pub use form::{add_query, path_escape, Form};
pub use request::{ClientAuth, Request};
pub use response::Response;
pub use serde_json::Value;
pub use values::{
    Account, AuthorizeInput, Capabilities, CheckResult, Client, Credential, ExchangeInput, Manifest,
    RefreshInput, RefreshRules, RevokeInput, Scope,
};
pub use wire::run;

/// One upstream: what it is, and how a user connects.
///
/// The functions must be pure: same conversation, same input, same requests in
/// the same order. They run anew from the start after every answer of the
/// upstream.
pub trait Provider {
    /// Says what the provider is and needs. It must answer the same every time.
    fn manifest() -> Manifest;

    /// Returns the URL that the user's browser is sent to. It must carry
    /// `input.state` and `input.code_challenge` unchanged.
    fn authorize(c: &mut Conversation, input: AuthorizeInput) -> Result<String, Stop>;

    /// Turns the callback into a credential with its account.
    fn exchange(c: &mut Conversation, input: ExchangeInput) -> Result<Credential, Stop>;

    /// Renews a credential. What the answer of the upstream does not replace
    /// must be carried over from `input.credential`. Needed if the manifest
    /// promises `refresh`.
    fn refresh(_: &mut Conversation, _: RefreshInput) -> Result<Credential, Stop> {
        Err(Error::new(Kind::Bug, "the provider has no operation refresh").into())
    }

    /// Ends a credential at the upstream. One that is dead already is no
    /// error. Needed if the manifest promises `revoke`.
    fn revoke(_: &mut Conversation, _: RevokeInput) -> Result<(), Stop> {
        Err(Error::new(Kind::Bug, "the provider has no operation revoke").into())
    }

    /// Refuses bad settings when a tenant is loaded, beyond what the JSON
    /// Schema in the manifest can say. It makes no requests.
    fn check(_: &mut Conversation) -> Result<(), Stop> {
        Ok(())
    }

    /// Names the upstream that the tenant's settings lead to. It makes no
    /// requests either.
    fn describe(_: &mut Conversation) -> Result<CheckResult, Stop> {
        Ok(CheckResult::default())
    }
}
