package main

import (
	"errors"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// codeName is gRPC's name of a status code.
func codeName(failed *autopilot.Error) string {
	return code.Code_name[int32(failed.Code)]
}

// reasons are the names of the constants that users compare errors with.
var reasons = map[string]error{
	"ReasonFieldInvalid":        autopilot.ReasonFieldInvalid,
	"ReasonPayloadTooLarge":     autopilot.ReasonPayloadTooLarge,
	"ReasonRequestIDReused":     autopilot.ReasonRequestIDReused,
	"ReasonPageTokenInvalid":    autopilot.ReasonPageTokenInvalid,
	"ReasonJobNotFound":         autopilot.ReasonJobNotFound,
	"ReasonWorkflowNotFound":    autopilot.ReasonWorkflowNotFound,
	"ReasonCheckpointNotFound":  autopilot.ReasonCheckpointNotFound,
	"ReasonJobAlreadyExists":    autopilot.ReasonJobAlreadyExists,
	"ReasonJobStateConflict":    autopilot.ReasonJobStateConflict,
	"ReasonInterruptNotPending": autopilot.ReasonInterruptNotPending,
	"ReasonThreadBusy":          autopilot.ReasonThreadBusy,
	"ReasonThreadAdvanced":      autopilot.ReasonThreadAdvanced,
	"ReasonEtagMismatch":        autopilot.ReasonEtagMismatch,
	"ReasonSequenceOutOfRange":  autopilot.ReasonSequenceOutOfRange,
	"ReasonLimitExceeded":       autopilot.ReasonLimitExceeded,
	"ReasonServerDraining":      autopilot.ReasonServerDraining,
	"ReasonStorageUnavailable":  autopilot.ReasonStorageUnavailable,
	"ReasonInternalError":       autopilot.ReasonInternalError,
	"ReasonCredentialsInvalid":  autopilot.ReasonCredentialsInvalid,
	"ReasonMethodForbidden":     autopilot.ReasonMethodForbidden,
}

func typeName(err error) string {
	for name, reason := range reasons {
		if errors.Is(err, reason) {
			return name
		}
	}
	return "Error"
}
