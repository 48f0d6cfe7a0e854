//! Tokens: when they are asked for, and that they stand nowhere.

use std::sync::atomic::{AtomicUsize, Ordering};

use autopilot_client::{Client, Error};
use tonic::Status;

use crate::server::Server;

#[tokio::test]
async fn a_token_goes_with_each_call() {
    let server = Server::default();
    let client = server.serve().await.token("secret").connect().unwrap();
    client.get("j").await.unwrap();
    assert!(client.watch("j").stream().next().await.is_none());
    assert!(server.asked().iter().all(|asked| asked.authorization == "Bearer secret"));
    assert!(!format!("{client:?}").contains("secret"));
}

#[tokio::test]
async fn a_source_is_asked_for_each_try() {
    let server = Server::default();
    let number = AtomicUsize::new(0);
    let source = move || {
        let token = format!("t{}", number.fetch_add(1, Ordering::Relaxed));
        async move { Ok(token) }
    };
    let client = server.serve().await.token_source(source).connect().unwrap();
    server.refuse([Status::unavailable("away")]);
    client.get("j").await.unwrap();
    client.watch("j").stream().next().await;
    let sent: Vec<String> = server.asked().into_iter().map(|asked| asked.authorization).collect();
    assert_eq!(sent, ["Bearer t0", "Bearer t1", "Bearer t2"]);
}

#[tokio::test]
async fn a_source_that_fails_or_gives_no_token_is_an_error_and_nothing_is_called() {
    let server = Server::default();
    let failing = server.serve().await.token_source(|| async { Err("no vault".into()) }).connect().unwrap();
    assert!(matches!(failing.get("j").await, Err(Error::TokenSource(cause)) if cause.to_string() == "no vault"));
    let wrong = server.serve().await.token_source(|| async { Ok("two words".to_owned()) }).connect().unwrap();
    assert!(matches!(wrong.get("j").await, Err(Error::TokenMalformed)));
    assert!(matches!(wrong.watch("j").stream().next().await, Some(Err(Error::TokenMalformed))));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_token_is_not_sent_over_plain_text_to_another_machine() {
    let elsewhere = || Client::builder("jobs.example.com:443").token("secret");
    let error = elsewhere().connect().unwrap_err();
    assert!(matches!(&error, Error::TokenExposed { address } if address == "jobs.example.com:443"));
    assert!(!format!("{error} {error:?} {:?}", elsewhere()).contains("secret"));
    assert!(Client::builder("jobs.example.com:443").token_source(|| async { Ok(String::new()) }).connect().is_err());
    elsewhere().insecure().connect().unwrap();
    Client::builder("jobs.example.com:443").connect().unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_token_is_sent_over_tls_and_keys_stand_nowhere() {
    use autopilot_client::Tls;

    Client::builder("jobs.example.com:443").tls(Tls::system()).token("secret").connect().unwrap();
    let tls = Tls::authority("no certificate").identity("no certificate", "a key").server_name("jobs");
    assert_eq!(format!("{tls:?}"), "Tls");
    let error = Client::builder("jobs.example.com:443").tls(tls).connect().unwrap_err();
    assert!(matches!(error, Error::Connection(_)) && !format!("{error:?}").contains("a key"));
}
