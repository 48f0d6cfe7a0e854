package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

type object = map[string]any

// lines are written as they come, a JSON object each.
type lines struct {
	encoder *json.Encoder
	flush   func() error
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &lines{encoder: json.NewEncoder(w), flush: http.NewResponseController(w).Flush}
}

// write does not say when the caller is gone: its context does.
func (l *lines) write(line object) {
	_ = l.encoder.Encode(line)
	_ = l.flush()
}

func refuse(w http.ResponseWriter, status int, problem object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"error": problem})
}

// progressOf is what callers see of an event; nil when they do not.
func progressOf(event autopilot.Event) object {
	line := object{"sequence": event.Sequence, "fraction": event.Progress.Fraction}
	switch kind := event.Kind.(type) {
	case autopilot.StepStarted:
		line["started"] = kind.Step
	case autopilot.StepFinished:
		line["finished"] = kind.Step
	case autopilot.StepFailed:
		line["failed"] = kind.Step
	case autopilot.ProgressReported:
		line["message"] = kind.Message
	default:
		return nil
	}
	return line
}

// endOf is the last line of a job that rests.
func endOf(job *autopilot.Job) object {
	switch job.State {
	case autopilot.StateSucceeded:
		return object{"output": job.Output}
	case autopilot.StateInterrupted:
		return object{"error": object{"reason": "INTERRUPTED", "message": "the job asks; answer with Resume"}}
	}
	return object{"error": object{"reason": job.Error.Reason, "message": job.Error.Message}}
}

// describe is an error as callers may see it: what they did wrong, whole; what is
// wrong behind this service, by its reason.
func describe(err error) object {
	var failed *autopilot.Error
	if !errors.As(err, &failed) {
		return object{"message": "the service failed"}
	}
	if statusOf(err) >= http.StatusInternalServerError {
		// Addresses, limits and names of what is behind this service are not for its callers.
		return object{"reason": string(failed.Reason), "message": "the service cannot do this now"}
	}
	problem := object{"reason": string(failed.Reason), "message": failed.Message}
	if len(failed.Violations) > 0 {
		problem["violations"] = failed.Violations
	}
	return problem
}

func statusOfOrder(err error) int {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func statusOf(err error) int {
	var reason autopilot.Reason
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, autopilot.ErrUnreachable):
		return http.StatusServiceUnavailable
	case !errors.As(err, &reason):
		return http.StatusBadGateway
	}
	switch reason {
	case autopilot.ReasonFieldInvalid, autopilot.ReasonPayloadTooLarge:
		return http.StatusBadRequest
	case autopilot.ReasonWorkflowNotFound:
		return http.StatusNotFound
	case autopilot.ReasonRequestIDReused, autopilot.ReasonJobAlreadyExists:
		return http.StatusConflict
	case autopilot.ReasonLimitExceeded:
		return http.StatusTooManyRequests
	case autopilot.ReasonServerDraining, autopilot.ReasonStorageUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}
