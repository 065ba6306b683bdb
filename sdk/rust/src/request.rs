use crate::{Form, Value};

/// How the host authenticates our client at the upstream. It is a directive:
/// the host adds identifier and secret as the request leaves, and the secret
/// never comes here. All but the basic ones need a form or a JSON object as the
/// body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// The client's identifier alone, in the body.
    Public,
    /// In a header, RFC 6749 §2.3.1.
    Basic,
    /// In a header, with the secret as the user and an empty password.
    BasicSecret,
    /// In the body, RFC 6749 §2.3.1.
    Post,
    /// A signed assertion in the body, RFC 7523 §2.2.
    PrivateKeyJwt,
    /// An assertion in the body with a MAC made with the secret, OpenID Connect
    /// Core §9.
    ClientSecretJwt,
}

impl ClientAuth {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ClientAuth::Public => "none",
            ClientAuth::Basic => "basic",
            ClientAuth::BasicSecret => "basic_secret",
            ClientAuth::Post => "post",
            ClientAuth::PrivateKeyJwt => "private_key_jwt",
            ClientAuth::ClientSecretJwt => "client_secret_jwt",
        }
    }
}

/// What a provider asks the host to perform. Its methods change and return it,
/// so that a request reads as one line.
pub struct Request {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) auth: Option<ClientAuth>,
    pub(crate) idempotent: bool,
    pub(crate) max_age: i64,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A request without headers and body. The host refuses URLs that are not
    /// https or whose host the manifest does not name.
    pub fn new(method: &'static str, url: &str) -> Request {
        Request {
            method,
            url: url.into(),
            headers: Vec::new(),
            auth: None,
            idempotent: false,
            max_age: 0,
            body: Vec::new(),
        }
    }

    /// A GET request. It may be repeated, so it is idempotent.
    pub fn get(url: &str) -> Request {
        Request::new("GET", url).idempotent()
    }

    /// A POST request with a form as its body.
    pub fn post_form(url: &str, form: &Form) -> Request {
        let mut r =
            Request::new("POST", url).header("content-type", "application/x-www-form-urlencoded");
        r.body = form.encode().into_bytes();
        r
    }

    /// A POST request with a JSON value as its body.
    pub fn post_json(url: &str, value: &Value) -> Request {
        let mut r = Request::new("POST", url).header("content-type", "application/json");
        r.body = value.to_string().into_bytes();
        r
    }

    /// Adds a header. The host refuses Host, cookies and hop-by-hop names.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Authenticates with an access token, RFC 6750 §2.1.
    pub fn bearer(self, token: &str) -> Request {
        self.header("authorization", &["Bearer ", token].concat())
    }

    /// Has the host authenticate our client.
    pub fn auth(mut self, auth: ClientAuth) -> Request {
        self.auth = Some(auth);
        self
    }

    /// Allows the host to send the request again after a failure of the
    /// transport. Never for a code or a single-use refresh token.
    pub fn idempotent(mut self) -> Request {
        self.idempotent = true;
        self
    }

    /// Allows the host to answer with what the upstream said to the same
    /// request of this tenant, at most so many seconds ago, as long as the
    /// upstream says that it is fresh, or a day if it does not say. It is for a
    /// GET without credentials whose answer changes rarely. If the operation
    /// fails, the host asks anew the next time.
    pub fn max_age(mut self, seconds: i64) -> Request {
        self.max_age = seconds;
        self
    }
}
