//! The documents of `sdk/ABI.md`, and the one call that reads and writes them.

use crate::conversation::Asked;
use crate::error::one_line;
use crate::random::Random;
use crate::{
    Account, AuthorizeInput, CheckResult, Client, Conversation, Credential, Error, ExchangeInput,
    Kind, Manifest, Provider, RefreshInput, Request, Response, RevokeInput, Stop, Value,
};

/// The version of the byte contract this crate speaks, major.minor.
const ABI_VERSION: &str = "1.2";

/// Makes one call of a provider: an input document in, an output document out.
/// It is all that the exports of a module do, so what runs natively in a test
/// is what runs in the sandbox. Whatever is wrong with `input` comes out as an
/// error document.
pub fn run<P: Provider>(input: &[u8]) -> Vec<u8> {
    let (mut c, op, params) = match decode(input) {
        Ok(parts) => parts,
        Err(detail) => return failure(&Error::new(Kind::Bug, detail)),
    };
    let outcome = dispatch::<P>(&mut c, &op, &params);
    match (c.asked, outcome) {
        (Some(Asked::Request(r)), _) => {
            document(Object::new().raw("request", &request(&r)), &r.body)
        }
        (Some(Asked::Wait(ms)), _) => document(Object::new().raw("wait_ms", &ms.to_string()), &[]),
        (None, Ok(result)) => document(Object::new().raw("result", &result), &[]),
        (None, Err(Stop::Fail(e))) => failure(&e),
        (None, Err(Stop::Suspend)) => failure(&Error::new(
            Kind::Bug,
            "the provider stopped without asking for anything",
        )),
    }
}

/// Runs an operation and returns its result as JSON.
fn dispatch<P: Provider>(c: &mut Conversation, op: &str, params: &Value) -> Result<String, Stop> {
    match op {
        "describe" => Ok(manifest(&P::manifest())?),
        "check" => {
            P::check(c)?;
            Ok(check_result(&P::describe(c)?))
        }
        "authorize" => {
            let input = AuthorizeInput {
                state: text(params, "state"),
                scopes: texts(params, "scopes"),
                code_challenge: text(params, "code_challenge"),
                nonce: text(params, "nonce"),
                prompt: text(params, "prompt"),
            };
            P::authorize(c, input).map(|url| Object::new().text("url", &url).end())
        }
        "exchange" => {
            let input = ExchangeInput {
                query: pairs(&params["query"]).into(),
                code_verifier: text(params, "code_verifier"),
                scopes: texts(params, "scopes"),
                nonce: text(params, "nonce"),
                needs: texts(params, "needs"),
                redirect_uri: c.client.redirect_uri.clone(),
            };
            Ok(credential(&P::exchange(c, input)?)?)
        }
        "refresh" => {
            let input = RefreshInput {
                credential: read_credential(&params["credential"]),
                scopes: texts(params, "scopes"),
            };
            Ok(credential(&P::refresh(c, input)?)?)
        }
        "revoke" => {
            let input = RevokeInput {
                credential: read_credential(&params["credential"]),
            };
            P::revoke(c, input).map(|()| Object::new().end())
        }
        _ => Err(Error::new(
            Kind::Bug,
            one_line(&format!("the provider has no operation {}", op)),
        )
        .into()),
    }
}

/// Reads an input document: the conversation, the operation and its input.
/// Unknown members are ignored, missing ones are zero: a newer host may say
/// more, an older one less.
fn decode(doc: &[u8]) -> Result<(Conversation, String, Value), &'static str> {
    let (size, rest) = match doc {
        [a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err("sdk: input document too short"),
    };
    if size > rest.len() {
        return Err("sdk: head longer than the input document");
    }
    let (head, mut bodies) = rest.split_at(size);
    let mut head: Value = serde_json::from_slice(head)
        .map_err(|_| "sdk: the head of the input document is no JSON")?;
    let mut answers = Vec::new();
    for step in array(&head["steps"]) {
        let size = step["body_len"].as_u64().unwrap_or(0);
        if size > bodies.len() as u64 {
            return Err("sdk: step bodies longer than the input document");
        }
        let (body, rest) = bodies.split_at(size as usize);
        bodies = rest;
        let status = step["status"]
            .as_u64()
            .and_then(|n| u16::try_from(n).ok())
            .unwrap_or(0);
        answers.push(Response {
            status,
            headers: pairs(&step["headers"]),
            body: body.to_vec(),
        });
    }
    let c = Conversation {
        now_ms: head["now"].as_i64().unwrap_or(0),
        tenant: text(&head, "tenant"),
        random: Random::new(&text(&head, "seed")),
        client: Client {
            id: text(&head["client"], "id"),
            redirect_uri: text(&head["client"], "redirect_uri"),
        },
        settings: member(&mut head, "settings"),
        answers: answers.into_iter(),
        asked: None,
    };
    Ok((c, text(&head, "op"), member(&mut head, "input")))
}

fn member(object: &mut Value, name: &str) -> Value {
    object.get_mut(name).map_or(Value::Null, Value::take)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or("").into()
}

fn texts(object: &Value, name: &str) -> Vec<String> {
    array(&object[name])
        .iter()
        .filter_map(Value::as_str)
        .map(String::from)
        .collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pair = |item: &Value| Some((item[0].as_str()?.into(), item[1].as_str()?.into()));
    array(value).iter().filter_map(pair).collect()
}

fn read_credential(v: &Value) -> Credential {
    let account = v["account"].is_object().then(|| Account {
        id: text(&v["account"], "id"),
        name: text(&v["account"], "name"),
        email: text(&v["account"], "email"),
        email_verified: v["account"]["email_verified"] == true,
        picture: text(&v["account"], "picture"),
        organizations: texts(&v["account"], "organizations"),
    });
    Credential {
        access_token: text(v, "access_token"),
        token_type: text(v, "token_type"),
        refresh_token: text(v, "refresh_token"),
        expires_at: v["expires_at"].as_i64().unwrap_or(0),
        refresh_expires_at: v["refresh_expires_at"].as_i64().unwrap_or(0),
        scopes: texts(v, "scopes"),
        account,
        extra: v["extra"].clone(),
    }
}

/// Writes an output document: length of the head, head, body.
fn document(head: Object, body: &[u8]) -> Vec<u8> {
    let head = head.end();
    let size = (head.len() as u32).to_le_bytes();
    [&size[..], head.as_bytes(), body].concat()
}

fn failure(e: &Error) -> Vec<u8> {
    let o = Object::new()
        .text("kind", e.kind.name())
        .optional("message", &e.message)
        .optional("detail", &e.detail)
        .number("retry_after", e.retry_after)
        .flag("certain", e.certain);
    document(Object::new().raw("error", &o.end()), &[])
}

fn request(r: &Request) -> String {
    let mut o = Object::new().text("method", r.method).text("url", &r.url);
    if !r.headers.is_empty() {
        let pairs = r
            .headers
            .iter()
            .map(|(name, value)| list([name.as_str(), value.as_str()].map(quote)));
        o = o.raw("headers", &list(pairs));
    }
    o = o.raw("body_len", &r.body.len().to_string());
    if let Some(auth) = r.auth {
        o = o.raw(
            "client_auth",
            &Object::new().text("method", auth.name()).end(),
        );
    }
    o.flag("idempotent", r.idempotent)
        .number("max_age", r.max_age)
        .end()
}

fn check_result(r: &CheckResult) -> String {
    let mut o = Object::new().optional("identity", &r.identity);
    if let Some(pkce) = r.pkce {
        o = o.raw("pkce", if pkce { "true" } else { "false" });
    }
    o.optional("callback_issuer", &r.callback_issuer)
        .optional("issuer", &r.issuer)
        .flag("many_organizations", r.many_organizations)
        .end()
}

/// Checks what the host would refuse anyway and writes the rest.
fn credential(c: &Credential) -> Result<String, Error> {
    if c.access_token.is_empty() {
        return Err(Error::new(
            Kind::Bug,
            "a credential without an access token",
        ));
    }
    let mut o = Object::new()
        .text("access_token", &c.access_token)
        .optional("token_type", &c.token_type)
        .optional("refresh_token", &c.refresh_token)
        .number("expires_at", c.expires_at)
        .number("refresh_expires_at", c.refresh_expires_at);
    if !c.scopes.is_empty() {
        o = o.raw("scopes", &list(c.scopes.iter().map(|s| quote(s))));
    }
    if let Some(a) = &c.account {
        let mut account = Object::new()
            .text("id", &a.id)
            .optional("name", &a.name)
            .optional("email", &a.email)
            .optional("picture", &a.picture)
            .flag("email_verified", a.email_verified);
        if !a.organizations.is_empty() {
            let names = a.organizations.iter().map(|s| quote(s));
            account = account.raw("organizations", &list(names));
        }
        o = o.raw("account", &account.end());
    }
    match &c.extra {
        Value::Null => {}
        extra @ Value::Object(_) => o = o.raw("extra", &extra.to_string()),
        _ => return Err(Error::new(Kind::Bug, "extra is no JSON object")),
    }
    Ok(o.end())
}

fn manifest(m: &Manifest) -> Result<String, Error> {
    if m.name.is_empty() || m.version.is_empty() {
        return Err(Error::new(
            Kind::Bug,
            "the manifest has no name or no version",
        ));
    }
    let mut o = Object::new()
        .text("abi", ABI_VERSION)
        .text("name", m.name)
        .text("version", m.version)
        .text("display_name", m.display_name)
        .optional("home_page", m.home_page);
    if !m.settings.is_empty() {
        match serde_json::from_str(m.settings) {
            Ok(schema @ Value::Object(_)) => o = o.raw("settings", &schema.to_string()),
            _ => return Err(Error::new(Kind::Bug, "settings is no JSON object")),
        }
    }
    o = o.raw("hosts", &list(m.hosts.iter().map(|h| quote(h))));
    if !m.secret_urls.is_empty() {
        o = o.raw("secret_urls", &list(m.secret_urls.iter().map(|u| quote(u))));
    }
    if !m.scopes.is_empty() {
        let scope = |s: &crate::Scope| {
            Object::new()
                .text("name", s.name)
                .optional("description", s.description)
                .flag("default", s.default)
                .end()
        };
        o = o.raw("scopes", &list(m.scopes.iter().map(scope)));
    }
    let can = [
        ("pkce", m.capabilities.pkce),
        ("refresh", m.capabilities.refresh),
        ("revoke", m.capabilities.revoke),
        ("identity", m.capabilities.identity),
    ];
    let can = can.iter().fold(Object::new(), |o, (name, yes)| {
        o.raw(name, if *yes { "true" } else { "false" })
    });
    let refresh = Object::new()
        .flag("rotates", m.refresh.rotates)
        .flag("single_use", m.refresh.single_use)
        .number("grace_seconds", m.refresh.grace_seconds);
    Ok(o.raw("capabilities", &can.end())
        .raw("refresh", &refresh.end())
        .end())
}

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    ["[", &items.into_iter().collect::<Vec<_>>().join(","), "]"].concat()
}

/// A JSON object being written, its members in the order of the calls. A
/// serde_json map would sort them.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object("{".into())
    }

    /// Adds a member whose value is JSON already.
    fn raw(mut self, name: &str, json: &str) -> Object {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.extend(["\"", name, "\":", json]);
        self
    }

    fn text(self, name: &str, value: &str) -> Object {
        self.raw(name, &quote(value))
    }

    /// Adds a text that is not empty.
    fn optional(self, name: &str, value: &str) -> Object {
        if value.is_empty() {
            return self;
        }
        self.text(name, value)
    }

    /// Adds a number that is not zero.
    fn number(self, name: &str, value: i64) -> Object {
        if value == 0 {
            return self;
        }
        self.raw(name, &value.to_string())
    }

    /// Adds a flag that is set.
    fn flag(self, name: &str, value: bool) -> Object {
        if !value {
            return self;
        }
        self.raw(name, "true")
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
