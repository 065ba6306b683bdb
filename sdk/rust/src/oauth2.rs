//! The ordinary flow in functions: what most upstreams do alike, each to be
//! used or left out. All of them take and send JSON answers and forms; an
//! upstream that answers otherwise calls [`Conversation::call`] itself.

use crate::{
    add_query, AuthorizeInput, ClientAuth, Conversation, Credential, Error, Form, Kind,
    RefreshInput, Request, Response, RevokeInput, Stop, Value,
};

/// The authorization request, RFC 6749 §4.1.1 with RFC 7636 §4.3.
pub fn authorize_url(c: &Conversation, endpoint: &str, input: &AuthorizeInput) -> String {
    let client = c.client();
    let mut q = Form::new()
        .with("response_type", "code")
        .with("client_id", &client.id)
        .with("redirect_uri", &client.redirect_uri);
    if !input.scopes.is_empty() {
        q.add("scope", &input.scopes.join(" "));
    }
    q.add("state", &input.state);
    if !input.code_challenge.is_empty() {
        q.add("code_challenge", &input.code_challenge);
        q.add("code_challenge_method", "S256");
    }
    add_query(endpoint, &q)
}

/// Sends a form to the token endpoint and returns the credential in the
/// answer, still without an account. The request is never repeated: what it
/// carries may work only once.
pub fn token(
    c: &mut Conversation,
    endpoint: &str,
    form: &Form,
    auth: ClientAuth,
) -> Result<Credential, Stop> {
    let resp = c.call(
        Request::post_form(endpoint, form)
            .header("accept", "application/json")
            .auth(auth),
    )?;
    let answer = accept(c, &resp, "token endpoint")?;
    let t = |name| answer[name].as_str().unwrap_or("").to_string();
    if t("access_token").is_empty() {
        let e = Error::new(Kind::Unavailable, "no access token in the answer");
        return Err(e.message("The upstream sent no token.").into());
    }
    let refresh_token = refresh_token(&answer["refresh_token"]);
    if let Some(what) = unusable(&t("access_token"), &refresh_token) {
        let e = Error::new(Kind::Unavailable, what);
        return Err(e
            .message("The upstream sent a token that cannot be used.")
            .into());
    }
    Ok(Credential {
        access_token: t("access_token"),
        token_type: t("token_type"),
        refresh_token,
        expires_at: after(c.now(), &answer["expires_in"]),
        scopes: t("scope").split_whitespace().map(String::from).collect(),
        ..Credential::default()
    })
}

/// Reads a refresh token. RFC 6749 §5.1 defines a string; an upstream that sends
/// a number expects its digits again, so a rounded number is not used. 0 means no
/// refresh token.
fn refresh_token(v: &Value) -> String {
    match v {
        Value::String(token) => token.clone(),
        Value::Number(n) if !n.is_f64() && n.as_u64() != Some(0) => n.to_string(),
        _ => String::new(),
    }
}

/// Says what keeps the tokens of an answer from being used, which is the
/// upstream's mistake and not the module's: characters that no header takes
/// (RFC 6750 §2.1), or more bytes than a host keeps (sdk/ABI.md).
fn unusable(access: &str, refresh: &str) -> Option<String> {
    const MOST: usize = 32 << 10;
    if !access.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("the access token has characters that cannot be sent in a header, such as a space or a line's end".to_string());
    }
    for (what, token) in [("access", access), ("refresh", refresh)] {
        if token.len() > MOST {
            return Some(format!(
                "the {what} token has {} bytes, and {MOST} may be",
                token.len()
            ));
        }
    }
    None
}

/// Renews a credential, RFC 6749 §6, and keeps of the old one what the answer
/// does not replace. The scopes are not sent: then the same are meant.
pub fn refresh(
    c: &mut Conversation,
    endpoint: &str,
    input: RefreshInput,
    auth: ClientAuth,
) -> Result<Credential, Stop> {
    let old = input.credential;
    if old.refresh_token.is_empty() {
        return Err(Error::new(Kind::InvalidGrant, "there is no refresh token").into());
    }
    let form = Form::new()
        .with("grant_type", "refresh_token")
        .with("refresh_token", &old.refresh_token);
    let mut new = token(c, endpoint, &form, auth)?;
    if new.refresh_token.is_empty() {
        new.refresh_token = old.refresh_token;
        new.refresh_expires_at = old.refresh_expires_at;
    }
    if new.scopes.is_empty() {
        new.scopes = old.scopes;
    }
    new.account = old.account;
    new.extra = old.extra;
    Ok(new)
}

/// Ends a credential, RFC 7009 §2.1: by its refresh token, which takes the
/// access tokens along, or else by its access token.
pub fn revoke(
    c: &mut Conversation,
    endpoint: &str,
    input: &RevokeInput,
    auth: ClientAuth,
) -> Result<(), Stop> {
    let form = match input.credential.refresh_token.as_str() {
        "" => Form::new()
            .with("token", &input.credential.access_token)
            .with("token_type_hint", "access_token"),
        token => Form::new()
            .with("token", token)
            .with("token_type_hint", "refresh_token"),
    };
    let request = Request::post_form(endpoint, &form)
        .header("accept", "application/json")
        .auth(auth)
        .idempotent();
    let resp = c.call(request)?;
    if !resp.ok() {
        // RFC 7009 §2.2: a token that is dead already is answered with 200.
        accept(c, &resp, "revocation refused")?;
    }
    Ok(())
}

/// Returns the answer of a token or revocation endpoint once it is known to be
/// no error, whatever its status (RFC 6749 §5.2).
fn accept(c: &Conversation, resp: &Response, what: &str) -> Result<Value, Error> {
    let answer = resp.json();
    let failure = answer.as_ref().ok().and_then(|answer| {
        let code = match &answer["error"] {
            Value::String(code) if !code.is_empty() => code,
            Value::Object(_) => "an error without a code",
            _ => return None,
        };
        let description = answer["error_description"].as_str().unwrap_or("");
        Some(Error::oauth_answer(resp.status, code, description))
    });
    match (resp.overload(c.now()), failure) {
        // Some send invalid_grant with a 500.
        (Err(busy), Some(e)) if e.kind != Kind::InvalidGrant => return Err(busy),
        (_, Some(e)) => return Err(e),
        (Err(busy), None) => return Err(busy),
        (Ok(_), None) => {}
    }
    match resp.status {
        // RFC 9110 §15.4.5: no redirect, and an answer to conditional requests only.
        304 => {
            let detail = what.to_string() + ": status 304 (Not Modified), although the request has no condition; check the URL and any cache or proxy in front of it";
            Err(Error::new(Kind::Misconfigured, detail))
        }
        300..=399 => {
            let detail = what.to_string() + ": a redirect, which is not followed; if the endpoint has moved set its new address";
            Err(Error::new(Kind::Misconfigured, detail))
        }
        401 => Err(Error::oauth("invalid_client", "status 401")), // §5.2: only ever invalid_client
        _ if !resp.ok() => Err(resp.unreadable(what)),
        _ => answer,
    }
}

/// The time `seconds` from now in seconds since 1970, or 0 if that is not a
/// positive number. RFC 6749 §5.1 wants a number; some upstreams send text, and
/// some a fraction, of which a part of a second counts as a whole one.
fn after(now: i64, seconds: &Value) -> i64 {
    const CENTURY: f64 = 100.0 * 366.0 * 24.0 * 3600.0;
    let n = seconds
        .as_f64()
        .or_else(|| seconds.as_str()?.trim().parse().ok())
        .unwrap_or(0.0);
    if n > 0.0 && n <= CENTURY {
        now + (n as i64).max(1)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{after, refresh_token, unusable};
    use crate::Value;

    #[test]
    fn tokens_of_other_shapes() {
        for (text, want) in [
            ("\"r\"", "r"),
            ("12345678901234567", "12345678901234567"),
            ("123456789012345678901234567890", ""),
            ("0", ""),
            ("false", ""),
            ("null", ""),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(refresh_token(&value), want, "{text}");
        }
        let long = "x".repeat((32 << 10) + 1);
        for (access, refresh, want) in [
            ("a", "r", None),
            ("a\n", "r", Some("line's end")),
            (long.as_str(), "r", Some("the access token has 32769 bytes")),
            (
                "a",
                long.as_str(),
                Some("the refresh token has 32769 bytes"),
            ),
        ] {
            let got = unusable(access, refresh);
            assert_eq!(got.is_some(), want.is_some(), "{got:?}");
            assert!(got.unwrap_or_default().contains(want.unwrap_or("")));
        }
    }

    #[test]
    fn expiry() {
        for (json, want) in [
            ("60", 1060),
            ("\"60\"", 1060),
            ("60.9", 1060),
            ("6e1", 1060),
            ("\" 6.05e1 \"", 1060),
            ("0.5", 1001),
            ("\"NaN\"", 0),
            ("\"inf\"", 0),
            ("0", 0),
            ("-5", 0),
            ("null", 0),
            ("\"soon\"", 0),
            ("9e99", 0),
            ("9223372036854775807", 0),
        ] {
            let v: Value = serde_json::from_str(json).unwrap();
            assert_eq!(after(1000, &v), want, "{}", json);
        }
    }
}
