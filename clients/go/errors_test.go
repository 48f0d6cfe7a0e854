package autopilot

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

func refused(t *testing.T, code codes.Code, details ...protoadapt.MessageV1) error {
	t.Helper()
	given, err := status.New(code, "no").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return errorOf(given.Err())
}

func info(domain, reason string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Domain: domain, Reason: reason, Metadata: map[string]string{"job_id": "j"}}
}

func TestAnErrorHasWhatTheServerSaid(t *testing.T) {
	err := refused(t, codes.ResourceExhausted, info("autopilot", "LIMIT_EXCEEDED"),
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "d"}}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if failed.Code != codes.ResourceExhausted || failed.Message != "no" || failed.Metadata["job_id"] != "j" {
		t.Error(failed)
	}
	if len(failed.Violations) != 1 || failed.Violations[0] != (Violation{"f", "d"}) || failed.RetryDelay != 1500*time.Millisecond {
		t.Error(failed)
	}
	if status.Code(err) != codes.ResourceExhausted || err.Error() != "autopilot: LIMIT_EXCEEDED: no" {
		t.Error(err)
	}
}

func TestErrorsAreToldApartByReason(t *testing.T) {
	err := refused(t, codes.NotFound, info("autopilot", "JOB_NOT_FOUND"))
	var reason Reason
	if !errors.Is(err, ReasonJobNotFound) || errors.Is(err, ReasonThreadBusy) || !errors.As(err, &reason) || reason != ReasonJobNotFound {
		t.Error(err)
	}
	if err := refused(t, codes.NotFound, info("example.com", "JOB_NOT_FOUND")); errors.Is(err, ReasonJobNotFound) {
		t.Error("a reason of another domain")
	}
	if err := refused(t, codes.Internal, info("autopilot", "NEW")); !errors.Is(err, Reason("NEW")) {
		t.Error("a reason that is new")
	}
}

func TestErrorsWithoutReason(t *testing.T) {
	cases := map[codes.Code]error{
		codes.Unavailable:      ErrUnreachable,
		codes.DeadlineExceeded: context.DeadlineExceeded,
		codes.Canceled:         context.Canceled,
	}
	for code, expected := range cases {
		if err := refused(t, code); !errors.Is(err, expected) {
			t.Errorf("%v is not %v", err, expected)
		}
	}
	draining := refused(t, codes.Unavailable, info("autopilot", "SERVER_DRAINING"))
	if errors.Is(draining, ErrUnreachable) || !errors.Is(draining, ReasonServerDraining) {
		t.Error("a server that says that it is stopping was reached")
	}
	if err := refused(t, codes.Internal); errors.Unwrap(err) != nil {
		t.Error(err)
	}
}

func TestJobsThatEndedOtherwise(t *testing.T) {
	cases := map[JobState]error{
		StateFailed: ErrJobFailed, StateCancelled: ErrJobCancelled, StateInterrupted: ErrJobInterrupted,
	}
	for state, expected := range cases {
		err := error(&EndedError{&Job{JobID: "j", State: state, Error: &JobError{Message: "broken"}}})
		var ended *EndedError
		if !errors.Is(err, expected) || !errors.As(err, &ended) || ended.Job.JobID != "j" {
			t.Error(err)
		}
		if err.Error() != "autopilot: job j is "+state.String()+": broken" {
			t.Error(err)
		}
	}
}
