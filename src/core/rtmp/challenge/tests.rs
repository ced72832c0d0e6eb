use proptest::prelude::*;

use super::*;

/// All expected values were computed with Python's hashlib and base64, and with a separate XXTEA in
/// Python.
const ASKS: &str = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
const SALTED: &str = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=joe\
    &salt=c2FsdA==&challenge=Y2hhbA==";
const NONCE: &str = "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&user=acme\
    &nonce=4294967296";

fn connect(app: &str) -> Connect {
    Connect::new(app, format!("rtmp://server.example/{app}"))
}

fn login(user: &str, password: &str) -> Login {
    Login {
        user: user.into(),
        password: password.into(),
    }
}

fn joe() -> Login {
    login("joe", "s3cret")
}

/// Returns the app of the answer and checks that the tcUrl has the same path.
fn app(before: &str, login: &Login, description: &str) -> Result<String, LoginError> {
    let answer = answer_login(&connect(before), Some(login), description, 0xBEEF)?;
    let app = answer.app.clone();
    assert_eq!(answer.tc_url, format!("rtmp://server.example/{app}"));
    Ok(app)
}

#[test]
fn first_answer_names_the_user() {
    assert_eq!(
        app("vod", &joe(), ASKS).unwrap(),
        "vod?authmod=adobe&user=joe"
    );
    assert_eq!(
        app("vod?a=b", &joe(), "[ code=403 need auth; authmod=llnw ]").unwrap(),
        "vod?a=b&authmod=llnw&user=joe"
    );
}

#[test]
fn adobe_challenge_is_answered_with_two_digests() {
    assert_eq!(
        app("vod?authmod=adobe&user=joe", &joe(), SALTED).unwrap(),
        "vod?authmod=adobe&user=joe&challenge=0000beef&response=cSCsD7SvizrN1KILKJwZsw=="
    );
}

#[test]
fn opaque_value_replaces_the_challenge_and_is_echoed() {
    assert_eq!(
        app(
            "vod?a=b&authmod=adobe&user=joe",
            &joe(),
            &format!("{SALTED}&opaque=b3BhcXVl")
        )
        .unwrap(),
        "vod?a=b&authmod=adobe&user=joe&challenge=0000beef&response=qeZ63sIx07SWm2MTcdDg2Q==\
         &opaque=b3BhcXVl"
    );
}

#[test]
fn limelight_response_uses_the_default_instance_if_the_app_has_none() {
    let acme = login("acme", "go!acme");
    for (place, response) in [
        ("acme", "e771163b93da1fa4eaba0a653e3f52f8"),
        ("acme/inst", "e562927095ca0443608dd4c34ff2646a"),
        ("acme?x=/y", "e771163b93da1fa4eaba0a653e3f52f8"),
    ] {
        let before = with_query(place, "authmod=llnw&user=acme");
        let expected =
            format!("{before}&nonce=4294967296&cnonce=0000beef&nc=00000001&response={response}");
        assert_eq!(app(&before, &acme, NONCE).unwrap(), expected);
    }
}

#[test]
fn challenge_is_found_in_any_surrounding_text() {
    let expected = app("vod", &joe(), SALTED).unwrap();
    let bare = "authmod=adobe : reason=needauth&challenge=Y2hhbA==&salt=c2FsdA== .";
    assert_eq!(app("vod", &joe(), bare).unwrap(), expected);
}

#[test]
fn repeated_rejections_end_the_login() {
    let refusal = |reason| format!("[ authmod=adobe ] : ?reason={reason}&opaque=x");
    let said = "vod?authmod=adobe&user=joe&challenge=0&response=x";
    for (before, description, error) in [
        ("vod", refusal("nosuchuser"), LoginError::NoSuchUser),
        (said, refusal("authfailed"), LoginError::Failed),
        (said, refusal("needauth"), LoginError::AskedAgain),
        (said, ASKS.to_owned(), LoginError::AskedAgain),
        (
            "vod?authmod=adobe&user=joe",
            ASKS.to_owned(),
            LoginError::AskedAgain,
        ),
    ] {
        assert_eq!(
            app(before, &joe(), &description),
            Err(error),
            "{description}"
        );
    }
}

#[test]
fn missing_login_or_unknown_scheme_is_an_error() {
    let ask = |login, description| {
        let answer = answer_login(&connect("vod"), login, description, 0);
        answer.map(|answer| answer.app).unwrap_err()
    };
    assert_eq!(ask(None, ASKS), LoginError::Missing("adobe".into()));
    let other = "[ code=403 need auth; authmod=kerberos ] : ";
    let unknown = LoginError::UnknownScheme("kerberos".into());
    assert_eq!(ask(Some(&joe()), other), unknown);
    assert!(is_login_required(ASKS) && is_login_required(other));
    assert!(!is_login_required("no guests"));
}

#[test]
fn user_name_is_escaped_in_the_query() {
    let odd = login("a&response=b c%\u{e9}", "p");
    assert_eq!(
        app("vod", &odd, ASKS).unwrap(),
        "vod?authmod=adobe&user=a%26response=b%20c%25\u{e9}"
    );
}

#[test]
fn secure_token_is_decrypted_with_the_first_16_bytes_of_the_key() {
    let hex = |text: &[u8]| hexadecimal(text);
    let answer = secure_token_answer("mykey", b"c1d2e3f40011223344556677").unwrap();
    assert_eq!(hex(&answer), "17abd7581fd30ba6264f8995");
    let long = b"8049bb59d3efe4da975fd0e9db9485c864e81cc57441f57b3ba9c6ce0780ab6f";
    assert_eq!(
        secure_token_answer("0123456789abcdefIGNORED", long).unwrap(),
        b"A secure token of Wowza's kind.."
    );
    assert_eq!(secure_token_answer("k", b"").unwrap(), b"");
}

#[test]
fn token_that_is_not_hexadecimal_has_no_answer() {
    for token in ["c1d2e3f", "c1d2e3g4", "+1+2+3+4", "\u{e9}\u{e9}", "  "] {
        assert_eq!(secure_token_answer("k", token.as_bytes()), None, "{token}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_description_and_token_is_handled_without_panic(
        before in "[a-z?&=/]{0,12}(authmod=[a-z&]{0,8})?",
        description in "(\\[ )?authmod=(adobe|llnw|x)?[ \\]:;?]{0,3}(reason=needauth)?[&=a-z\u{e9}]{0,40}",
        token in proptest::collection::vec(any::<u8>(), 0..40),
        key in ".{0,20}",
    ) {
        let _ = answer_login(&connect(&before), Some(&joe()), &description, 1);
        let _ = secure_token_answer(&key, &token);
        let _ = secure_token_answer(&key, hexadecimal(&token).as_bytes());
    }
}

/// The expected MAC was computed with Python's `hmac`.
#[test]
fn swf_verification_vector_matches() {
    let proof = SwfProof {
        hash: [0x5A; 32],
        size: 0x0001_0203,
    };
    let response = proof.response(&std::array::from_fn(|i| i as u8));
    assert_eq!(response[..10], [1, 1, 0, 1, 2, 3, 0, 1, 2, 3]);
    let mac: String = response[10..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        mac,
        "4626b9b44f777aecbe54a73005fd47f8d40f92409c1c0b73b42186498abd0d98"
    );
}
