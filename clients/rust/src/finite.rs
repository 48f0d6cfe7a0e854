//! Refuses numbers that JSON has not got, which `serde_json` would write as null.

use std::fmt::Display;

use serde::ser::{self, Error as _, Serialize, Serializer};
use serde_json::Error;

/// Walks a value, and fails at a number that is NaN or infinite.
pub(crate) struct Finite;

type Walked = Result<(), Error>;

fn finite(number: f64) -> Walked {
    if number.is_finite() { Ok(()) } else { Err(Error::custom(format!("JSON has no number {number}"))) }
}

macro_rules! fine {
    ($($method:ident($($type:ty),*);)*) => {
        $(fn $method(self $(, _: $type)*) -> Walked { Ok(()) })*
    };
}

macro_rules! inside {
    ($($method:ident($($type:ty),*);)*) => {
        $(fn $method<T: Serialize + ?Sized>(self, $(_: $type,)* value: &T) -> Walked { value.serialize(self) })*
    };
}

macro_rules! compound {
    ($($method:ident($($type:ty),*) -> $compound:ident;)*) => {
        $(
            type $compound = Self;
            fn $method(self, $(_: $type),*) -> Result<Self, Error> { Ok(self) }
        )*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Error;

    fn serialize_f32(self, number: f32) -> Walked {
        finite(number.into())
    }

    fn serialize_f64(self, number: f64) -> Walked {
        finite(number)
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Walked {
        Ok(())
    }

    fine! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    inside! {
        serialize_some();
        serialize_newtype_struct(&'static str);
        serialize_newtype_variant(&'static str, u32, &'static str);
    }

    compound! {
        serialize_seq(Option<usize>) -> SerializeSeq;
        serialize_tuple(usize) -> SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        serialize_map(Option<usize>) -> SerializeMap;
        serialize_struct(&'static str, usize) -> SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }
}

macro_rules! parts {
    ($($trait:ident { $($method:ident($($type:ty),*);)* })*) => {
        $(impl ser::$trait for Finite {
            type Ok = ();
            type Error = Error;
            $(fn $method<T: Serialize + ?Sized>(&mut self, $(_: $type,)* value: &T) -> Walked {
                value.serialize(Finite)
            })*
            fn end(self) -> Walked { Ok(()) }
        })*
    };
}

parts! {
    SerializeSeq { serialize_element(); }
    SerializeTuple { serialize_element(); }
    SerializeTupleStruct { serialize_field(); }
    SerializeTupleVariant { serialize_field(); }
    SerializeMap { serialize_key(); serialize_value(); }
    SerializeStruct { serialize_field(&'static str); }
    SerializeStructVariant { serialize_field(&'static str); }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(serde::Serialize)]
    enum Shape {
        Unit,
        New(f64),
        Tuple(u8, f32),
        Struct { number: Option<f64> },
    }

    #[test]
    fn what_json_has_passes() {
        let values = (1_i128, "text", 'c', [Some(0.5), None], BTreeMap::from([("a", vec![()])]));
        values.serialize(Finite).unwrap();
        for shape in [Shape::Unit, Shape::New(1.0), Shape::Tuple(1, 2.0), Shape::Struct { number: None }] {
            shape.serialize(Finite).unwrap();
        }
    }

    #[test]
    fn nan_and_infinities_are_found_wherever_they_are() {
        let refused = |value: &dyn Fn() -> Walked| assert!(value().unwrap_err().to_string().contains("JSON has no"));
        refused(&|| f64::NAN.serialize(Finite));
        refused(&|| f32::INFINITY.serialize(Finite));
        refused(&|| Some([1.0, f64::NEG_INFINITY]).serialize(Finite));
        refused(&|| (1, vec![BTreeMap::from([("a", f64::NAN)])]).serialize(Finite));
        refused(&|| Shape::New(f64::NAN).serialize(Finite));
        refused(&|| Shape::Tuple(1, f32::NAN).serialize(Finite));
        refused(&|| Shape::Struct { number: Some(f64::NAN) }.serialize(Finite));
    }
}
