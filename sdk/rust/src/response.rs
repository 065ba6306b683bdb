use crate::{time, Error, Kind, Value};

/// What the upstream answered. Redirects are not followed: a 3xx is an answer
/// like any other.
pub struct Response {
    /// The status code.
    pub status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Response {
    /// Tells whether the status is 2xx.
    pub fn ok(&self) -> bool {
        self.status / 100 == 2
    }

    /// The first header of that name, written in lower case, or "".
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|pair| pair.0 == name)
            .map_or("", |pair| &pair.1)
    }

    /// Parses the body as a JSON object, without the byte order mark that some
    /// servers send first (RFC 8259 §8.1). If the body is not a JSON object,
    /// `json` returns the error of `unreadable`.
    pub fn json(&self) -> Result<Value, Error> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf");
        match serde_json::from_slice(body.unwrap_or(&self.body)) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(self.unreadable("no JSON object")),
        }
    }

    /// The error for an answer that makes no sense. It tells what kind of
    /// answer it was, and nothing of what was in it. It is `Misconfigured` if
    /// the status is a 4xx with which asking again does not help (RFC 9110
    /// §15.5), such as 404 at a wrong URL, and `Unavailable` otherwise.
    pub fn unreadable(&self, why: &str) -> Error {
        let kind = if lasting(self.status) {
            Kind::Misconfigured
        } else {
            Kind::Unavailable
        };
        Error::new(
            kind,
            ["unreadable answer: ", why, "; ", &self.summary()].concat(),
        )
    }

    /// Fails with `RateLimited` or `Unavailable` if the status says that the
    /// upstream is too busy or broken. A 403 counts as too busy if the headers
    /// say that a limit is spent. `now` is [`Conversation::now`](crate::Conversation::now).
    pub fn overload(&self, now: i64) -> Result<(), Error> {
        let spent =
            self.header("x-ratelimit-remaining") == "0" || !self.header("retry-after").is_empty();
        let kind = match self.status {
            429 => Kind::RateLimited,
            403 if spent => Kind::RateLimited,
            500.. => Kind::Unavailable,
            _ => return Ok(()),
        };
        Err(Error {
            retry_after: self.retry_after(now),
            ..Error::new(kind, self.summary())
        })
    }

    /// Reads Retry-After as seconds or as a date (RFC 9110 §10.2.3), or else
    /// the widespread X-RateLimit-Reset in seconds since 1970. Some upstreams
    /// write both with a fraction, which is rounded up.
    fn retry_after(&self, now: i64) -> i64 {
        const LONGEST: i64 = 24 * 3600; // who says more means something else
        let text = self.header("retry-after").trim();
        let whole = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite())
                .map(|n| n.ceil() as i64)
        };
        whole(text)
            .or_else(|| time::http_date(text).map(|at| at - now))
            .or_else(|| whole(self.header("x-ratelimit-reset")).map(|at| at.saturating_sub(now)))
            .map_or(0, |seconds| seconds.clamp(0, LONGEST))
    }

    fn summary(&self) -> String {
        let kind = match self.header("content-type") {
            "" => "no content type",
            kind => kind,
        };
        format!(
            "status {}, {}, {} bytes",
            self.status,
            crate::error::one_line(kind),
            self.body.len()
        )
    }
}

/// Reports whether a status says that asking the same again does not help.
pub(crate) fn lasting(status: u16) -> bool {
    status / 100 == 4 && ![408, 409, 423, 425, 429].contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> Response {
        let headers = headers
            .iter()
            .map(|h| (h.0.to_string(), h.1.to_string()))
            .collect();
        Response {
            status,
            headers,
            body: b"<html>secret".to_vec(),
        }
    }

    #[test]
    fn overload() {
        const NOW: i64 = 1_795_348_800; // 2026-11-22T12:00:00Z
        for (status, headers, want) in [
            (200, vec![("retry-after", "5")], None),
            (403, vec![], None),
            (
                403,
                vec![
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1795348860"),
                ],
                Some((Kind::RateLimited, 60)),
            ),
            (
                429,
                vec![("retry-after", "7")],
                Some((Kind::RateLimited, 7)),
            ),
            (
                429,
                vec![("retry-after", "0.5")],
                Some((Kind::RateLimited, 1)),
            ),
            (
                429,
                vec![("retry-after", "1.2e1")],
                Some((Kind::RateLimited, 12)),
            ),
            (
                429,
                vec![("retry-after", "Sun, 22 Nov 2026 12:01:30 GMT")],
                Some((Kind::RateLimited, 90)),
            ),
            (
                429,
                vec![
                    ("retry-after", "soon"),
                    ("x-ratelimit-reset", "1795348803.4"),
                ],
                Some((Kind::RateLimited, 4)),
            ),
            (
                503,
                vec![("retry-after", "9999999")],
                Some((Kind::Unavailable, 86400)),
            ),
            (
                503,
                vec![("retry-after", "-1")],
                Some((Kind::Unavailable, 0)),
            ),
        ] {
            let got = response(status, &headers)
                .overload(NOW)
                .err()
                .map(|e| (e.kind, e.retry_after));
            assert_eq!(got, want, "{} {:?}", status, headers);
        }
    }

    #[test]
    fn unreadable_says_nothing_of_the_body() {
        let e = response(200, &[("content-type", "text/html")])
            .json()
            .unwrap_err();
        assert_eq!(e.kind, Kind::Unavailable);
        assert_eq!(
            e.detail,
            "unreadable answer: no JSON object; status 200, text/html, 12 bytes"
        );
    }

    #[test]
    fn unreadable_tells_what_lasts_from_what_passes() {
        for (status, want) in [
            (404, Kind::Misconfigured),
            (429, Kind::Unavailable),
            (302, Kind::Unavailable),
            (502, Kind::Unavailable),
        ] {
            assert_eq!(
                response(status, &[]).unreadable("").kind,
                want,
                "{}",
                status
            );
        }
    }

    #[test]
    fn byte_order_mark_is_passed_over() {
        let mut marked = response(200, &[]);
        marked.body = b"\xef\xbb\xbf{\"a\":1}".to_vec();
        assert_eq!(marked.json().unwrap()["a"], 1);
    }
}
