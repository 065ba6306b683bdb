//! The provider for Discord: user tokens, which last a week and rotate. It
//! leaves bots, webhooks and role connections, which belong to no user, out.

use sallyport_sdk::{
    oauth2, path_escape, provider, Account, AuthorizeInput, Capabilities, CheckResult, ClientAuth,
    Conversation, Credential, Error, ExchangeInput, Kind, Manifest, Provider, RefreshInput, RefreshRules,
    Request, RevokeInput, Scope, Stop, Value,
};

const AUTHORIZE: &str = "https://discord.com/oauth2/authorize";
const TOKEN: &str = "https://discord.com/api/oauth2/token";
const REVOKE: &str = "https://discord.com/api/oauth2/token/revoke";
const ME: &str = "https://discord.com/api/users/@me";

struct Discord;

provider!(Discord);

impl Provider for Discord {
    fn manifest() -> Manifest {
        Manifest {
            name: "discord",
            version: "1.1.0",
            display_name: "Discord",
            home_page: "https://discord.com/developers/docs/topics/oauth2",
            hosts: &["discord.com"],
            secret_urls: &[TOKEN, REVOKE],
            scopes: SCOPES,
            capabilities: Capabilities {
                pkce: true,
                refresh: true,
                revoke: true,
                identity: true,
            },
            // Whether the old refresh token survives its use is written
            // nowhere; the cautious answer is no.
            refresh: RefreshRules {
                rotates: true,
                single_use: true,
                grace_seconds: 0,
            },
            ..Manifest::default()
        }
    }

    fn authorize(c: &mut Conversation, input: AuthorizeInput) -> Result<String, Stop> {
        Ok(oauth2::authorize_url(c, AUTHORIZE, &input))
    }

    fn exchange(c: &mut Conversation, input: ExchangeInput) -> Result<Credential, Stop> {
        let mut cred = oauth2::token(c, TOKEN, &input.code_form()?, ClientAuth::Basic)?;
        let resp = c.call(
            Request::get(ME)
                .bearer(&cred.access_token)
                .header("accept", "application/json")
                .header(
                    "user-agent",
                    "DiscordBot (https://github.com/sallyport/sallyport, 1.0.0)",
                ),
        )?;
        resp.overload(c.now())?;
        match resp.status {
            200 => {}
            // The token is fresh, so it is the scope identify that is missing;
            // which status that gives is written nowhere.
            401 | 403 => {
                let e = Error::new(
                    Kind::InvalidScope,
                    format!("users/@me: status {}; is identify granted?", resp.status),
                );
                return Err(e
                    .message("The permissions granted do not allow to see who you are.")
                    .into());
            }
            _ => return Err(resp.unreadable("users/@me").into()),
        }
        cred.account = Some(account(&resp.json()?)?);
        Ok(cred)
    }

    fn refresh(c: &mut Conversation, input: RefreshInput) -> Result<Credential, Stop> {
        oauth2::refresh(c, TOKEN, input, ClientAuth::Basic)
    }

    fn describe(_: &mut Conversation) -> Result<CheckResult, Stop> {
        Ok(CheckResult {
            identity: "discord.com".into(),
            ..CheckResult::default()
        })
    }

    /// Whichever token is sent, the user's whole authorization of the app
    /// ends, in other grants too.
    fn revoke(c: &mut Conversation, input: RevokeInput) -> Result<(), Stop> {
        oauth2::revoke(c, REVOKE, &input, ClientAuth::Basic)
    }
}

/// A user name can change hands, the number cannot. It is a text: as a JSON
/// number it would not survive every reader.
fn account(user: &Value) -> Result<Account, Error> {
    let text = |name: &str| user[name].as_str().unwrap_or("").to_string();
    let id = text("id");
    if id.is_empty() {
        let e = Error::new(Kind::Unavailable, "no account identifier at id");
        return Err(e.message("The upstream did not say who you are."));
    }
    let name = match text("global_name") {
        name if name.is_empty() => text("username"),
        name => name,
    };
    let email = if user["verified"] == true {
        text("email")
    } else {
        String::new()
    };
    let picture = match text("avatar") {
        hash if hash.is_empty() => hash,
        hash => [
            "https://cdn.discordapp.com/avatars/",
            &path_escape(&id),
            "/",
            &path_escape(&hash),
            ".png",
        ]
        .concat(),
    };
    Ok(Account {
        id,
        name,
        email_verified: !email.is_empty(),
        email,
        picture,
        ..Account::default()
    })
}

const SCOPES: &[Scope] = &[
    Scope {
        name: "identify",
        description: "See your name and picture",
        default: true,
    },
    Scope {
        name: "email",
        description: "See your e-mail address",
        default: false,
    },
    Scope {
        name: "connections",
        description: "See the accounts you have linked",
        default: false,
    },
    Scope {
        name: "guilds",
        description: "See which servers you are in",
        default: false,
    },
    Scope {
        name: "guilds.join",
        description: "Add you to servers",
        default: false,
    },
    Scope {
        name: "guilds.members.read",
        description: "See your nickname and roles in your servers",
        default: false,
    },
];
