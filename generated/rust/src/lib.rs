//! Autopilot's contract, `protos/autopilot/v1`, for tonic and prost.

/// Version 1.
pub mod v1 {
    include!("../autopilot/v1/autopilot.v1.rs");
}
