//! JSON values, in and out, as exact text.

use std::fmt;

use autopilot_proto::v1::{self, payload::Kind};
use prost_types::{Struct, Value, value};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

use crate::finite::Finite;
use crate::{Error, Result};

/// A JSON value, exactly as the server has it; or none.
///
/// [`decode`](Payload::decode) makes a value of your own type of it, or a [`serde_json::Value`]. It can be
/// serialized with `serde_json`, and so be an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload(Content);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Content {
    #[default]
    Missing,
    Omitted(u64),
    Text(String),
}

impl Payload {
    /// Whether the response has no value here, which is not JSON's null.
    pub fn is_missing(&self) -> bool {
        self.0 == Content::Missing
    }

    /// The size in bytes of a value that was too large for its response.
    pub fn omitted(&self) -> Option<u64> {
        match self.0 {
            Content::Omitted(size) => Some(size),
            _ => None,
        }
    }

    /// The value as JSON text, when there is one.
    pub fn as_json(&self) -> Option<&str> {
        match &self.0 {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a type of your own.
    ///
    /// ```
    /// # fn decoded(output: autopilot_client::Payload) -> autopilot_client::Result<()> {
    /// #[derive(serde::Deserialize)]
    /// struct Greeting {
    ///     greeting: String,
    /// }
    ///
    /// let greeting: Greeting = output.decode()?;
    /// let anything: serde_json::Value = output.decode()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoValue`], [`Error::Omitted`], and [`Error::Json`] of a value that the type does not fit.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        match &self.0 {
            Content::Missing => Err(Error::NoValue),
            Content::Omitted(size_bytes) => Err(Error::Omitted { size_bytes: *size_bytes }),
            Content::Text(text) => serde_json::from_str(text).map_err(Error::Json),
        }
    }
}

impl fmt::Display for Payload {
    /// The JSON text, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json().unwrap_or(if self.is_missing() { "(no value)" } else { "(omitted)" }))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: &RawValue = self.decode().map_err(S::Error::custom)?;
        text.serialize(serializer)
    }
}

/// A value to send, as exact JSON text.
pub(crate) fn payload(value: &impl Serialize) -> Result<v1::Payload> {
    value.serialize(Finite).map_err(Error::Json)?;
    let text = serde_json::to_string(value).map_err(Error::Json)?;
    Ok(v1::Payload { kind: Some(Kind::JsonText(text)) })
}

impl From<Option<v1::Payload>> for Payload {
    fn from(message: Option<v1::Payload>) -> Self {
        Self(match message.and_then(|payload| payload.kind) {
            None => Content::Missing,
            Some(Kind::JsonText(text)) => Content::Text(text),
            Some(Kind::Json(value)) => Content::Text(json(value).to_string()),
            Some(Kind::Omitted(omitted)) => Content::Omitted(omitted.size_bytes.max(0).unsigned_abs()),
        })
    }
}

/// A JSON Schema.
pub(crate) fn schema(message: Option<Struct>) -> Payload {
    Payload(message.map_or(Content::Missing, |fields| Content::Text(object(fields).to_string())))
}

/// A google.protobuf.Value, whose numbers are doubles: whole ones are integers again.
fn json(message: Value) -> serde_json::Value {
    match message.kind {
        None | Some(value::Kind::NullValue(_)) => serde_json::Value::Null,
        Some(value::Kind::BoolValue(truth)) => truth.into(),
        Some(value::Kind::NumberValue(number)) => whole(number),
        Some(value::Kind::StringValue(text)) => text.into(),
        Some(value::Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
        Some(value::Kind::StructValue(fields)) => object(fields),
    }
}

fn object(message: Struct) -> serde_json::Value {
    message.fields.into_iter().map(|(name, value)| (name, json(value))).collect()
}

fn whole(number: f64) -> serde_json::Value {
    // 2^63, beyond which i64 has no integers.
    if number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0 {
        return (number as i64).into();
    }
    number.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(value: impl Serialize) -> String {
        match payload(&value).unwrap().kind {
            Some(Kind::JsonText(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    fn received(text: &str) -> Payload {
        Some(v1::Payload { kind: Some(Kind::JsonText(text.to_owned())) }).into()
    }

    #[test]
    fn integers_of_64_bits_are_exact() {
        let numbers = json!([9_007_199_254_740_993_i64, i64::MIN, i64::MAX, u64::MAX]);
        assert_eq!(text(&numbers), "[9007199254740993,-9223372036854775808,9223372036854775807,18446744073709551615]");
        assert_eq!(received(&text(&numbers)).decode::<serde_json::Value>().unwrap(), numbers);
        assert_eq!(received("[9007199254740993]").decode::<Vec<i64>>().unwrap(), [9_007_199_254_740_993]);
    }

    #[test]
    fn integers_beyond_64_bits_are_exact_as_text_and_as_128_bits() {
        let large = "340282366920938463463374607431768211455";
        assert_eq!(text(u128::MAX), large);
        assert_eq!(received(large).decode::<u128>().unwrap(), u128::MAX);
        assert_eq!(received(large).as_json(), Some(large));
        assert_eq!(text(received(large)), large);
    }

    #[test]
    fn doubles_are_the_same_when_they_come_back() {
        for number in [0.1, -2.5, 1e300, 5e-324, f64::MAX, f64::MIN_POSITIVE, 31.245270191439438, 121.48791951161945] {
            assert_eq!(received(&text(number)).decode::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }

    #[test]
    fn no_value_null_and_omitted_differ() {
        let missing = Payload::from(None);
        assert!(missing.is_missing() && missing.as_json().is_none());
        assert!(matches!(missing.decode::<()>(), Err(Error::NoValue)));
        assert!(!received("null").is_missing());
        received("null").decode::<()>().unwrap();
        let omitted = Some(v1::Payload { kind: Some(Kind::Omitted(v1::Omitted { size_bytes: 7 })) }).into();
        assert_eq!(Payload::omitted(&omitted), Some(7));
        assert!(matches!(omitted.decode::<()>(), Err(Error::Omitted { size_bytes: 7 })));
    }

    #[test]
    fn values_of_protobuf_have_integers() {
        let number = |number| Value { kind: Some(value::Kind::NumberValue(number)) };
        let list = prost_types::ListValue { values: vec![number(3.0), number(0.5), Value { kind: None }] };
        let value = Value { kind: Some(value::Kind::ListValue(list)) };
        let payload = Payload::from(Some(v1::Payload { kind: Some(Kind::Json(value)) }));
        assert_eq!(payload.as_json(), Some("[3,0.5,null]"));
    }
}
