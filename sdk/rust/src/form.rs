/// Names and values in order, as in a query or in a body of type
/// application/x-www-form-urlencoded.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// An empty form.
    pub fn new() -> Form {
        Form::default()
    }

    /// Appends a pair and returns the form.
    pub fn with(mut self, name: &str, value: &str) -> Form {
        self.add(name, value);
        self
    }

    /// Appends a pair.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), value.into()));
    }

    /// The first value of that name, or "".
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|pair| pair.0 == name)
            .map_or("", |pair| &pair.1)
    }

    /// Writes the pairs in order; a space becomes a plus sign.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        for (i, (name, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push('&');
            }
            escape(&mut out, name, true);
            out.push('=');
            escape(&mut out, value, true);
        }
        out
    }
}

impl From<Vec<(String, String)>> for Form {
    fn from(pairs: Vec<(String, String)>) -> Form {
        Form(pairs)
    }
}

/// Appends `form` to the query that `url` may already have, as RFC 6749 §3.1
/// asks of an authorization endpoint, and drops a fragment.
pub fn add_query(url: &str, form: &Form) -> String {
    let url = url.split('#').next().unwrap_or("");
    let separator = match url {
        _ if form.0.is_empty() || url.ends_with(['?', '&']) => "",
        _ if url.contains('?') => "&",
        _ => "?",
    };
    [url, separator, &form.encode()].concat()
}

/// Makes `text` safe as one segment of a URL's path.
pub fn path_escape(text: &str) -> String {
    let mut out = String::new();
    escape(&mut out, text, false);
    out
}

/// Leaves the unreserved characters of RFC 3986 §2.3 alone.
fn escape(out: &mut String, text: &str, plus: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &b in text.as_bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(b as char)
            }
            b' ' if plus => out.push('+'),
            _ => {
                out.push('%');
                out.push(HEX[usize::from(b >> 4)] as char);
                out.push(HEX[usize::from(b & 15)] as char);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encode() {
        let f = Form::new()
            .with("a b", "c&d=ü")
            .with("e", "")
            .with("e", "~._-2");
        assert_eq!(f.encode(), "a+b=c%26d%3D%C3%BC&e=&e=~._-2");
        assert_eq!(f.get("e"), "");
        assert_eq!(f.get("none"), "");
        assert_eq!(path_escape("a b/../ü"), "a%20b%2F..%2F%C3%BC");
    }

    #[test]
    fn query() {
        let f = Form::new().with("x", "1");
        for (url, want) in [
            ("https://up.example/a", "https://up.example/a?x=1"),
            ("https://up.example/a#f", "https://up.example/a?x=1"),
            ("https://up.example/a?y=2", "https://up.example/a?y=2&x=1"),
            ("https://up.example/a?", "https://up.example/a?x=1"),
            ("https://up.example/a?y=2&", "https://up.example/a?y=2&x=1"),
        ] {
            assert_eq!(add_query(url, &f), want);
        }
        assert_eq!(
            add_query("https://up.example/a", &Form::new()),
            "https://up.example/a"
        );
    }
}
