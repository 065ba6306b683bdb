//! Holds the crate to the byte contract, natively.

use sallyport_sdk::*;

struct Up;

impl Provider for Up {
    fn manifest() -> Manifest {
        Manifest {
            name: "up",
            version: "1.0.0",
            settings: r#"{"type": "object"}"#,
            hosts: &["up.example"],
            secret_urls: &["https://up.example/token"],
            scopes: &[Scope {
                name: "a",
                description: "All",
                default: true,
            }],
            ..Manifest::default()
        }
    }

    fn authorize(c: &mut Conversation, input: AuthorizeInput) -> Result<String, Stop> {
        Ok(oauth2::authorize_url(
            c,
            "https://up.example/authorize",
            &input,
        ))
    }

    /// Swallows every stop and returns something else.
    fn exchange(c: &mut Conversation, _: ExchangeInput) -> Result<Credential, Stop> {
        let first = c.call(Request::get("https://up.example/1"));
        let _ = c.call(Request::get("https://up.example/2"));
        let _ = first;
        Ok(Credential {
            access_token: "made up".into(),
            ..Credential::default()
        })
    }

    fn refresh(c: &mut Conversation, input: RefreshInput) -> Result<Credential, Stop> {
        oauth2::refresh(c, "https://up.example/token", input, ClientAuth::Basic)
    }

    fn revoke(c: &mut Conversation, _: RevokeInput) -> Result<(), Stop> {
        c.wait(1500)?;
        Err(Stop::Suspend)
    }
}

/// The dumps in ABI.md: the provider answers the first with the second and the
/// third with the fourth.
#[test]
fn worked_example() {
    let page = std::fs::read_to_string("../ABI.md").unwrap();
    let documents: Vec<Vec<u8>> = page.split("```").skip(1).step_by(2).map(undump).collect();
    assert_eq!(documents.len(), 4);
    for pair in documents.chunks(2) {
        let got = run::<Up>(&pair[0]);
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(&pair[1])
        );
    }
}

/// Reads what `hexdump -C` writes.
fn undump(text: &str) -> Vec<u8> {
    let digits = |line: &str| {
        line[8.min(line.len())..]
            .split('|')
            .next()
            .unwrap()
            .replace(' ', "")
    };
    let hex: String = text.lines().map(digits).collect();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn ask(head: &str, bodies: &str) -> String {
    let doc = [
        &(head.len() as u32).to_le_bytes()[..],
        head.as_bytes(),
        bodies.as_bytes(),
    ]
    .concat();
    let out = run::<Up>(&doc);
    assert_eq!(
        u32::from_le_bytes(out[..4].try_into().unwrap()) as usize,
        out.len() - 4
    );
    String::from_utf8(out[4..].to_vec()).unwrap()
}

#[test]
fn describe() {
    let want = concat!(
        r#"{"result":{"abi":"1.2","name":"up","version":"1.0.0","display_name":"","settings":{"type":"object"},"#,
        r#""hosts":["up.example"],"secret_urls":["https://up.example/token"],"scopes":[{"name":"a","description":"All","default":true}],"#,
        r#""capabilities":{"pkce":false,"refresh":false,"revoke":false,"identity":false},"refresh":{}}}"#
    );
    assert_eq!(ask(r#"{"op":"describe"}"#, ""), want);
}

#[test]
fn a_swallowed_stop_counts_all_the_same() {
    let want = r#"{"request":{"method":"GET","url":"https://up.example/1","body_len":0,"idempotent":true}}"#;
    assert_eq!(ask(r#"{"op":"exchange"}"#, ""), want);
    let want = r#"{"request":{"method":"GET","url":"https://up.example/2","body_len":0,"idempotent":true}}"#;
    assert_eq!(
        ask(
            r#"{"op":"exchange","steps":[{"status":200,"body_len":1}]}"#,
            "x"
        ),
        want
    );
    let done =
        r#"{"op":"exchange","steps":[{"status":200,"body_len":1},{"status":200,"body_len":1}]}"#;
    assert_eq!(ask(done, "xy"), r#"{"result":{"access_token":"made up"}}"#);
}

#[test]
fn an_account_passes_through_whole() {
    let account = r#"{"id":"1","name":"n","email":"e@up.example","picture":"p","email_verified":true,"organizations":["a","b"]}"#;
    let head = [
        r#"{"op":"refresh","steps":[{"status":200,"body_len":20}],"input":{"credential":{"refresh_token":"r","account":"#,
        account,
        "}}}",
    ]
    .concat();
    let out = ask(&head, r#"{"access_token":"b"}"#);
    assert!(
        out.contains(&format!(r#""account":{}"#, account)),
        "{}",
        out
    );
}

#[test]
fn waits_and_stops() {
    assert_eq!(ask(r#"{"op":"revoke"}"#, ""), r#"{"wait_ms":1500}"#);
    assert!(ask(r#"{"op":"revoke","steps":[{"status":0}]}"#, "").contains("stopped without asking"));
}

#[test]
fn broken_documents() {
    for (doc, want) in [
        (&b""[..], "too short"),
        (b"\x01\0\0\0", "head longer"),
        (b"\xff\xff\xff\xff{}", "head longer"),
        (b"\x01\0\0\0{", "no JSON"),
        (b"\x02\0\0\0[]", "no operation"),
        (b"\x0e\0\0\0{\"op\":\"paint\"}", "no operation paint"),
        (
            b"\x1b\0\0\0{\"steps\":[{\"body_len\":99}]}",
            "bodies longer",
        ),
    ] {
        let out = String::from_utf8(run::<Up>(doc)[4..].to_vec()).unwrap();
        assert!(
            out.starts_with(r#"{"error":{"kind":"bug","#) && out.contains(want),
            "{}: {}",
            want,
            out
        );
    }
}
