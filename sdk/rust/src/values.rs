//! The documents whose shape is the author's too; `sdk/abi/abi.go` says the
//! same for the host. None of those that hold tokens can print itself.

use crate::{Error, Form, Kind, Value};

/// What a provider is and what it needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manifest {
    /// Lower-case letters, digits and hyphens.
    pub name: &'static str,
    /// Like 1.2.0.
    pub version: &'static str,
    /// The upstream's name for people.
    pub display_name: &'static str,
    /// Where to read about the upstream's OAuth; may be empty.
    pub home_page: &'static str,
    /// JSON Schema of the settings, an object schema with defaults; may be
    /// empty.
    pub settings: &'static str,
    /// Host, host:port, or {settings.NAME} whose value is a host or an https
    /// URL.
    pub hosts: &'static [&'static str],
    /// Where a client secret or an assertion may go: URLs, which may hold
    /// {settings.NAME} and {client_id}, or discovery:ISSUER or issuer:ISSUER;
    /// see `sdk/ABI.md`. Without any, no secret is sent.
    pub secret_urls: &'static [&'static str],
    /// The scopes in words for the consent page.
    pub scopes: &'static [Scope],
    /// Which optional parts the provider has.
    pub capabilities: Capabilities,
    /// How the upstream treats refresh tokens.
    pub refresh: RefreshRules,
}

/// One upstream scope in words for the consent page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// As the upstream calls it.
    pub name: &'static str,
    /// What it allows, to the user.
    pub description: &'static str,
    /// Asked for when a tenant names no scopes.
    pub default: bool,
}

/// Which optional parts a provider has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    /// RFC 7636 with S256.
    pub pkce: bool,
    /// `refresh` is written.
    pub refresh: bool,
    /// `revoke` is written.
    pub revoke: bool,
    /// `exchange` returns an account.
    pub identity: bool,
}

/// How the upstream treats refresh tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefreshRules {
    /// Each refresh answers a new refresh token.
    pub rotates: bool,
    /// The old one is dead after use.
    pub single_use: bool,
    /// The old one still works so many seconds.
    pub grace_seconds: i64,
}

/// Our registration at the upstream, without its secret.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client identifier.
    pub id: String,
    /// Where the upstream sends the user back to.
    pub redirect_uri: String,
}

/// What leads to the URL that the user's browser is sent to.
pub struct AuthorizeInput {
    /// To be carried unchanged.
    pub state: String,
    /// As the tenant and the user chose them.
    pub scopes: Vec<String>,
    /// S256, RFC 7636 §4.2; empty without PKCE.
    pub code_challenge: String,
    /// OpenID Connect Core §3.1.2.1; may be empty.
    pub nonce: String,
    /// What the client wants asked, for upstreams that know it: login,
    /// select_account, both with a space between, or empty.
    pub prompt: String,
}

/// The callback and what led to it.
pub struct ExchangeInput {
    /// The callback's whole query, in the order received.
    pub query: Form,
    /// RFC 7636 §4.1; empty without PKCE.
    pub code_verifier: String,
    /// As asked for at authorize.
    pub scopes: Vec<String>,
    /// As given at authorize.
    pub nonce: String,
    /// Members of the account that the tenant uses: name, email,
    /// email_verified, organizations.
    pub needs: Vec<String>,
    pub(crate) redirect_uri: String,
}

impl ExchangeInput {
    /// The authorization code of the callback, or what the upstream said
    /// instead of one (RFC 6749 §4.1.2.1).
    pub fn code(&self) -> Result<&str, Error> {
        match (self.query.get("error"), self.query.get("code")) {
            ("", "") => Err(Error::new(
                Kind::Unavailable,
                "callback without code and without error",
            )
            .message("The upstream sent no authorization code.")),
            ("", code) => Ok(code),
            (error, _) => Err(Error::oauth(error, self.query.get("error_description"))),
        }
    }

    /// The token request of RFC 6749 §4.1.3 with the verifier of RFC 7636
    /// §4.5, or the error of [`code`](ExchangeInput::code). The host adds the
    /// client's identifier and secret.
    pub fn code_form(&self) -> Result<Form, Error> {
        let mut form = Form::new()
            .with("grant_type", "authorization_code")
            .with("code", self.code()?)
            .with("redirect_uri", &self.redirect_uri);
        if !self.code_verifier.is_empty() {
            form.add("code_verifier", &self.code_verifier);
        }
        Ok(form)
    }
}

/// The credential to renew.
pub struct RefreshInput {
    /// As the last exchange or refresh returned it.
    pub credential: Credential,
    /// As asked for at authorize.
    pub scopes: Vec<String>,
}

/// The credential to end at the upstream.
pub struct RevokeInput {
    /// As the last exchange or refresh returned it.
    pub credential: Credential,
}

/// What an upstream gave us.
#[derive(Clone, Default)]
pub struct Credential {
    /// Never empty.
    pub access_token: String,
    /// As the upstream says.
    pub token_type: String,
    /// Empty if there is none.
    pub refresh_token: String,
    /// In seconds since 1970 UTC; 0: unknown or never.
    pub expires_at: i64,
    /// In seconds since 1970 UTC; 0: unknown or never.
    pub refresh_expires_at: i64,
    /// Granted, as the upstream says; none: as asked for.
    pub scopes: Vec<String>,
    /// Required from exchange; from refresh it replaces what is known.
    pub account: Option<Account>,
    /// A JSON object the provider wants back at refresh and revoke, or null.
    pub extra: Value,
}

/// The upstream's stable user.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Stable and unique within the provider and its settings; never a login
    /// or an e-mail address.
    pub id: String,
    /// For people.
    pub name: String,
    /// Empty if there is none, or none to be told.
    pub email: String,
    /// The upstream says that it has verified the e-mail address.
    pub email_verified: bool,
    /// A URL.
    pub picture: String,
    /// Those that the account belongs to, by ids or verified domains, never by
    /// names that can change hands.
    pub organizations: Vec<String>,
}

/// What a tenant's settings make of the manifest.
#[derive(Clone, Debug, Default)]
pub struct CheckResult {
    /// A stable name of the upstream, chosen by the provider's author: the
    /// issuer, the token URL, the host. Tokens of one identity are never sent
    /// to another, so it has no scopes, secrets, versions or display names in
    /// it. Empty: the settings that name a host or a URL count.
    pub identity: String,
    /// Overrules the manifest's capability: after `Some(false)` the provider
    /// is given neither code challenge nor verifier.
    pub pkce: Option<bool>,
    /// The `iss` that every callback of this upstream carries, RFC 9207; the
    /// host refuses a callback with another or without one.
    pub callback_issuer: String,
    /// Whose accounts the upstream's are: the `iss` of its ID tokens.
    pub issuer: String,
    /// Accounts of many organizations, or of anybody, come from there.
    pub many_organizations: bool,
}
