/**
 * The contract's generated code, for those who need more than the client has.
 *
 * @packageDocumentation
 */
export * from "./generated/autopilot/v1/error_reason_pb.js";
export * from "./generated/autopilot/v1/job_pb.js";
export * from "./generated/autopilot/v1/job_service_pb.js";
