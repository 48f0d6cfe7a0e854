//! The retry policy of all clients, as `service_config.json` has it: tonic reads no service config.

use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};
use tonic::Code;

static CONFIG: LazyLock<ServiceConfig> =
    LazyLock::new(|| serde_json::from_str(include_str!("../service_config.json")).expect("the file is tested"));

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceConfig {
    method_config: Vec<MethodConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MethodConfig {
    name: Vec<Name>,
    retry_policy: Option<Policy>,
}

#[derive(Deserialize)]
struct Name {
    method: Option<String>,
}

/// How calls of a method are repeated.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    max_attempts: i32,
    #[serde(deserialize_with = "seconds")]
    initial_backoff: Duration,
    #[serde(deserialize_with = "seconds")]
    max_backoff: Duration,
    backoff_multiplier: f64,
    retryable_status_codes: Vec<String>,
}

/// The policy of a method of the service: its own, or else the one for all methods.
pub(crate) fn policy(method: &str) -> Option<&'static Policy> {
    let of = |wanted: Option<&str>| {
        let names = |config: &&MethodConfig| config.name.iter().any(|name| name.method.as_deref() == wanted);
        CONFIG.method_config.iter().find(names)
    };
    of(Some(method)).or_else(|| of(None))?.retry_policy.as_ref()
}

impl Policy {
    pub(crate) fn retries(&self, code: Code) -> bool {
        // Code's names are UpperCamelCase.
        let name = format!("{code:?}").to_uppercase();
        self.retryable_status_codes.iter().any(|known| known.replace('_', "") == name)
    }

    /// The pauses between the tries, each with gRPC's jitter.
    pub(crate) fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let (initial, longest) = (self.initial_backoff.as_secs_f64(), self.max_backoff.as_secs_f64());
        let multiplier = self.backoff_multiplier;
        (0..self.max_attempts - 1).map(move |number| {
            let pause = (initial * multiplier.powi(number)).min(longest);
            Duration::from_secs_f64(pause * (0.8 + 0.4 * fastrand::f64()))
        })
    }
}

/// `"0.2s"`, as JSON has google.protobuf.Duration.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
    number.map(Duration::from_secs_f64).ok_or_else(|| D::Error::custom("not a span of time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_that_of_all_clients() {
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../service_config.json");
        // In a published crate there is only its own.
        if let Ok(shared) = std::fs::read_to_string(shared) {
            assert_eq!(shared, include_str!("../service_config.json"));
        }
    }

    #[test]
    fn calls_are_tried_five_times_while_unavailable() {
        let policy = policy("SubmitJob").unwrap();
        let pauses: Vec<f64> = policy.pauses().map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(pauses.len(), 4);
        for (pause, middle) in pauses.iter().zip([0.2, 0.4, 0.8, 1.6]) {
            assert!((middle * 0.8..=middle * 1.2).contains(pause), "{pause} {middle}");
        }
        assert!(policy.retries(Code::Unavailable));
        assert!(!policy.retries(Code::Internal) && !policy.retries(Code::DeadlineExceeded));
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let text = r#"{"maxAttempts": 9, "initialBackoff": "1s", "maxBackoff": "3s", "backoffMultiplier": 2,
            "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.pauses().count(), 8);
        assert!(policy.pauses().all(|pause| pause <= Duration::from_secs_f64(3.6)));
        assert!(policy.retries(Code::ResourceExhausted));
    }

    #[test]
    fn a_watch_has_no_policy() {
        assert!(policy("WatchProgress").is_none());
    }
}
