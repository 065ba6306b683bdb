/// What an error means for the user's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The user said no at the upstream.
    AccessDenied,
    /// The code or refresh token is dead, and with it the grant. Only if the
    /// upstream said so.
    InvalidGrant,
    /// The upstream refuses the scopes.
    InvalidScope,
    /// The user must act at the upstream first.
    InteractionRequired,
    /// The same again later; see [`Error::retry_after`].
    RateLimited,
    /// The upstream is down or answers nonsense; nothing is lost.
    Unavailable,
    /// Settings, client identifier or secret are wrong.
    Misconfigured,
    /// The provider is at fault.
    Bug,
}

impl Kind {
    /// The kind's name in a document, and the words for a user who need not
    /// know more.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Kind::AccessDenied => ("access_denied", "Access was not granted."),
            Kind::InvalidGrant => (
                "invalid_grant",
                "The connection has ended. Please connect again.",
            ),
            Kind::InvalidScope => (
                "invalid_scope",
                "The upstream does not grant the permissions asked for.",
            ),
            Kind::InteractionRequired => (
                "interaction_required",
                "The upstream needs you to sign in there first.",
            ),
            Kind::RateLimited => (
                "rate_limited",
                "The upstream is receiving too many requests. Please try again later.",
            ),
            Kind::Unavailable => (
                "unavailable",
                "The upstream does not answer as expected. Please try again later.",
            ),
            Kind::Misconfigured => (
                "misconfigured",
                "The connection to the upstream is not set up correctly.",
            ),
            Kind::Bug => ("bug", "The provider of this upstream failed."),
        }
    }

    /// The kind's name in a document.
    pub fn name(self) -> &'static str {
        self.texts().0
    }
}

/// Ends a conversation without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What it means for the connection.
    pub kind: Kind,
    /// May be shown to the user.
    pub message: String,
    /// Reaches the log and no further.
    pub detail: String,
    /// In seconds; 0: unknown.
    pub retry_after: i64,
    /// The upstream's own words mean this kind and nothing else. Of other errors
    /// of a token endpoint the host decides by what becomes of other renewals.
    pub certain: bool,
}

impl Error {
    /// An error with the words that go with its kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Error {
        Error {
            kind,
            message: kind.texts().1.into(),
            detail: detail.into(),
            retry_after: 0,
            certain: false,
        }
    }

    /// The same error in other words for the user.
    pub fn message(mut self, message: &str) -> Error {
        self.message = message.into();
        self
    }

    /// Translates an error code of an authorization or token endpoint
    /// (RFC 6749 §4.1.2.1 and §5.2, OpenID Connect Core §3.1.2.6) and its
    /// description, where the answer's status says nothing. An unknown code
    /// becomes `Unavailable`: what is not understood must not end a grant.
    pub fn oauth(code: &str, description: &str) -> Error {
        Error::oauth_answer(0, code, description)
    }

    /// [`Error::oauth`] for an answer of that status. An unknown code in a 4xx
    /// becomes `Misconfigured`: the upstream answers, and asking again does not
    /// help (RFC 9110 §15.5).
    pub fn oauth_answer(status: u16, code: &str, description: &str) -> Error {
        // Some servers write the codes in capitals, and several have words of
        // their own for a refresh token that has ended or was revoked.
        let known = code.to_ascii_lowercase();
        let kind = match known.as_str() {
            "access_denied" => Kind::AccessDenied,
            "invalid_grant"
            | "expired_token"
            | "token_expired"
            | "token_revoked"
            | "invalid_refresh_token"
            | "bad_refresh_token"
            | "expired_refresh_token"
            | "refresh_token_expired" => Kind::InvalidGrant,
            "invalid_scope" => Kind::InvalidScope,
            "interaction_required"
            | "login_required"
            | "consent_required"
            | "account_selection_required" => Kind::InteractionRequired,
            "slow_down" => Kind::RateLimited, // RFC 8628 §3.5
            "invalid_client"
            | "unauthorized_client"
            | "unsupported_response_type"
            | "unsupported_grant_type"
            | "redirect_uri_mismatch"
            | "invalid_request" => Kind::Misconfigured, // never taken for a bug of ours
            "server_error" | "temporarily_unavailable" => Kind::Unavailable,
            _ if crate::response::lasting(status) => Kind::Misconfigured,
            _ => Kind::Unavailable,
        };
        let mut detail = String::from("upstream says ") + code;
        if !description.is_empty() {
            detail = detail + ": " + description;
        }
        let mut e = Error::new(kind, one_line(&detail));
        e.certain = [
            "temporarily_unavailable",
            "unsupported_grant_type",
            "unsupported_response_type",
            "redirect_uri_mismatch",
        ]
        .contains(&known.as_str());
        e
    }
}

/// Makes a text of the upstream's fit for a log: printable, and cut after 300
/// bytes.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > 300 {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oauth_codes() {
        for (code, kind) in [
            ("access_denied", Kind::AccessDenied),
            ("login_required", Kind::InteractionRequired),
            ("invalid_client", Kind::Misconfigured),
            ("server_error", Kind::Unavailable),
            ("made_up", Kind::Unavailable),
            ("INVALID_GRANT", Kind::InvalidGrant),
            ("expired_token", Kind::InvalidGrant),
            ("invalid_request", Kind::Misconfigured),
        ] {
            assert_eq!(Error::oauth(code, "").kind, kind, "{}", code);
        }
        assert_eq!(
            Error::oauth_answer(400, "made_up", "").kind,
            Kind::Misconfigured
        );
        assert_eq!(
            Error::oauth_answer(200, "made_up", "").kind,
            Kind::Unavailable
        );
        assert!(Error::oauth_answer(400, "temporarily_unavailable", "").certain);
        assert!(!Error::oauth_answer(400, "server_error", "").certain);
        let e = Error::oauth("invalid_grant", "spent\r\nyesterday");
        assert_eq!(e.detail, "upstream says invalid_grant: spent  yesterday");
        assert_eq!(e.message, "The connection has ended. Please connect again.");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let line = one_line(&"é".repeat(200));
        assert_eq!(line, "é".repeat(150) + "…");
    }
}
