//! Scripts of what servers and sources of credentials say.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::*;
use crate::sandbox::outbound::CredentialsError;

#[derive(Debug)]
struct Operator(&'static str);

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[async_trait]
impl CredentialsSource for Operator {
    async fn credentials(&self, _: Option<&Credentials>) -> Result<Credentials, CredentialsError> {
        Err(CredentialsError::new("a script says what it has"))
    }
}

fn key(name: &str) -> Credentials {
    Credentials {
        access_key_id: name.to_owned(),
        secret_access_key: "s3cr3t".to_owned(),
        session_token: None,
    }
}

/// Grants to sign with the caller's credentials and then with those of `a` and `b`.
fn grant() -> SigningGrant {
    let operator = |name| SigningSource::Operator(Arc::new(Operator(name)));
    SigningGrant::new(
        "https://a.example".parse().expect("a pattern"),
        "s3",
        None,
        vec![SigningSource::Caller, operator("a"), operator("b")],
    )
    .expect("a grant")
}

/// Plays a script, and writes down what is to be done.
struct Play {
    grant: SigningGrant,
    caller: Option<Credentials>,
    servers: BTreeMap<String, Succession>,
    /// What has been asked for credentials, and says so next.
    said: Vec<Option<&'static str>>,
}

impl Play {
    fn new(caller: Option<&str>, said: &[Option<&'static str>]) -> Self {
        Self {
            grant: grant(),
            caller: caller.map(key),
            servers: BTreeMap::new(),
            said: said.iter().rev().copied().collect(),
        }
    }

    /// Gives all that is done until a request to a server can be signed, or cannot.
    fn sign(&mut self, server: &str) -> Vec<String> {
        let at = self.servers.entry(server.to_owned()).or_default();
        let mut done = Vec::new();
        loop {
            let step = at.step(self.caller.as_ref(), &self.grant);
            match step {
                Step::Sign(credentials) => {
                    done.push(credentials.access_key_id.clone());
                    return done;
                }
                Step::Ask(source, refused) => {
                    let but = refused.map(|it| format!(" but {}", it.access_key_id));
                    done.push(format!("ask {source}{}", but.unwrap_or_default()));
                    let said = self.said.pop().expect("the script goes on");
                    at.hear(said.map(key));
                }
                Step::Tell(_, lack) => done.push(format!("{lack:?}")),
                Step::Nothing => {
                    done.push("nothing".to_owned());
                    return done;
                }
            }
        }
    }

    fn turn_down(&mut self, server: &str, used: &str) {
        let at = self.servers.get_mut(server).expect("it was asked");
        at.turn_down(&key(used), "ExpiredToken");
    }

    fn lack(&self, server: &str) -> Option<String> {
        let lack = self.servers.get(server)?.lack();
        lack.map(|lack| lack.to_string())
    }
}

#[test]
fn sources_are_gone_through_in_order_and_the_operators_asked_once_more() {
    let said = [Some("A1"), Some("A2"), Some("B1"), Some("B1")];
    let mut play = Play::new(Some("C"), &said);
    assert_eq!(play.sign("x"), ["C"]);
    for (used, steps) in [
        (
            "C",
            &["CallersRefused { code: \"ExpiredToken\" }", "ask a", "A1"][..],
        ),
        ("A1", &["ask a but A1", "A2"]),
        (
            "A2",
            &["OperatorsRefused { code: \"ExpiredToken\" }", "ask b", "B1"],
        ),
        // Others than those that were refused are asked for.
        (
            "B1",
            &[
                "ask b but B1",
                "OperatorsRefused { code: \"ExpiredToken\" }",
                "nothing",
            ],
        ),
    ] {
        play.turn_down("x", used);
        assert_eq!(play.sign("x"), steps, "{used}");
    }
    let lack = play.lack("x");
    let lack = lack.expect("there is nothing to sign with");
    assert!(lack.contains("that the server signs with"), "{lack}");
    // What one server says holds for that server alone.
    assert_eq!(play.sign("y"), ["C"]);
}

#[test]
fn whoever_has_credentials_takes_over_from_those_that_have_none() {
    let mut play = Play::new(None, &[None, Some("B")]);
    let steps = ["NoCallers", "ask a", "NoOperators", "ask b", "B"];
    assert_eq!(play.sign("x"), steps);
    assert_eq!(play.lack("x"), None);
    assert_eq!(play.sign("x"), ["B"]);
}

#[test]
fn the_caller_is_told_what_the_caller_can_change() {
    let mut play = Play::new(Some("C"), &[None, None]);
    assert_eq!(play.sign("x"), ["C"]);
    play.turn_down("x", "C");
    assert_eq!(play.sign("x").last().map(String::as_str), Some("nothing"));
    let lack = play.lack("x");
    let words = "the credentials of the request are refused (ExpiredToken)";
    assert_eq!(lack.as_deref(), Some(words));
}

#[test]
fn a_source_is_passed_over_for_what_it_says_and_not_for_being_asked() {
    let mut play = Play::new(None, &[Some("A1"), Some("A2")]);
    assert_eq!(play.sign("x"), ["NoCallers", "ask a", "A1"]);
    play.turn_down("x", "A1");
    // Whoever asks may give up before there is an answer.
    for _ in 0..3 {
        let at = play.servers.get_mut("x").expect("it was asked");
        let step = at.step(None, &play.grant);
        assert!(matches!(step, Step::Ask(_, Some(_))));
    }
    assert_eq!(play.sign("x"), ["ask a but A1", "A2"]);
}

#[test]
fn what_was_replaced_meanwhile_is_not_refused_again() {
    let mut play = Play::new(Some("C"), &[Some("A")]);
    assert_eq!(play.sign("x"), ["C"]);
    play.turn_down("x", "C");
    assert_eq!(play.sign("x").last().map(String::as_str), Some("A"));
    play.turn_down("x", "C");
    assert_eq!(play.sign("x"), ["A"]);
}
