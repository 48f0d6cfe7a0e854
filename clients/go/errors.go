package autopilot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const errorDomain = "autopilot"

// Reason is why the server refused a call. It is an error itself, for [errors.Is]
// and [errors.As]:
//
//	if errors.Is(err, autopilot.ReasonJobNotFound) { … }
//
//	var reason autopilot.Reason
//	if errors.As(err, &reason) {
//		switch reason { case autopilot.ReasonThreadBusy: … }
//	}
//
// A newer server may give reasons that are not among the constants.
type Reason string

// The reasons of the contract, protos/autopilot/v1/error_reason.proto.
const (
	// ReasonFieldInvalid: the request is out of form; Error.Violations has everything that is wrong.
	ReasonFieldInvalid Reason = "FIELD_INVALID"
	// ReasonPayloadTooLarge: a JSON value is over the server's limit.
	ReasonPayloadTooLarge Reason = "PAYLOAD_TOO_LARGE"
	// ReasonRequestIDReused: the request id was used for something else.
	ReasonRequestIDReused Reason = "REQUEST_ID_REUSED"
	// ReasonPageTokenInvalid: the page token is not the server's, or for another filter.
	ReasonPageTokenInvalid Reason = "PAGE_TOKEN_INVALID"
	// ReasonJobNotFound: there is no such job.
	ReasonJobNotFound Reason = "JOB_NOT_FOUND"
	// ReasonWorkflowNotFound: there is no such workflow.
	ReasonWorkflowNotFound Reason = "WORKFLOW_NOT_FOUND"
	// ReasonCheckpointNotFound: the job has no such checkpoint.
	ReasonCheckpointNotFound Reason = "CHECKPOINT_NOT_FOUND"
	// ReasonJobAlreadyExists: the job id is taken.
	ReasonJobAlreadyExists Reason = "JOB_ALREADY_EXISTS"
	// ReasonJobStateConflict: not possible in the job's state.
	ReasonJobStateConflict Reason = "JOB_STATE_CONFLICT"
	// ReasonInterruptNotPending: the question is not open.
	ReasonInterruptNotPending Reason = "INTERRUPT_NOT_PENDING"
	// ReasonThreadBusy: another unfinished job uses the thread.
	ReasonThreadBusy Reason = "THREAD_BUSY"
	// ReasonThreadAdvanced: a newer job has gone on with the thread.
	ReasonThreadAdvanced Reason = "THREAD_ADVANCED"
	// ReasonEtagMismatch: the job has changed meanwhile.
	ReasonEtagMismatch Reason = "ETAG_MISMATCH"
	// ReasonSequenceOutOfRange: the place to watch from is not in the log.
	ReasonSequenceOutOfRange Reason = "SEQUENCE_OUT_OF_RANGE"
	// ReasonLimitExceeded: the server is full.
	ReasonLimitExceeded Reason = "LIMIT_EXCEEDED"
	// ReasonServerDraining: the server is stopping.
	ReasonServerDraining Reason = "SERVER_DRAINING"
	// ReasonStorageUnavailable: the server's database is away.
	ReasonStorageUnavailable Reason = "STORAGE_UNAVAILABLE"
	// ReasonInternalError: the server failed; Error.Metadata["error_id"] finds it in its log.
	ReasonInternalError Reason = "INTERNAL_ERROR"
	// ReasonCredentialsInvalid: who calls is not known.
	ReasonCredentialsInvalid Reason = "CREDENTIALS_INVALID"
	// ReasonMethodForbidden: who calls may not.
	ReasonMethodForbidden Reason = "METHOD_FORBIDDEN"
)

// Error is the reason's name.
func (r Reason) Error() string { return string(r) }

// ErrUnreachable: no server answered.
var ErrUnreachable = errors.New("no server answered")

// Error is a call that failed. It matches its Reason and, where that is what went
// wrong, [ErrUnreachable], [context.DeadlineExceeded] or [context.Canceled].
type Error struct {
	Code codes.Code
	// Reason is the server's; empty when the server gave none.
	Reason  Reason
	Message string
	// Metadata has what the reason is about: see docs/errors.md.
	Metadata   map[string]string
	Violations []Violation
	// RetryDelay is after how long trying again makes sense; 0 when the server did not say.
	RetryDelay time.Duration

	status *status.Status
}

// Violation is one thing that is wrong with one field of a request.
type Violation struct {
	Field       string
	Description string
}

// Error is what the server said.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("autopilot: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("autopilot: %s: %s", e.Reason, e.Message)
}

// GRPCStatus is the status as it came, for status.FromError.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Unwrap gives the reason, or what stands for an error without one.
func (e *Error) Unwrap() error {
	switch {
	case e.Reason != "":
		return e.Reason
	case e.Code == codes.Unavailable:
		return ErrUnreachable
	case e.Code == codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case e.Code == codes.Canceled:
		return context.Canceled
	}
	return nil
}

// errorOf is the error of a call, as gRPC returned it.
func errorOf(err error) *Error {
	given := status.Convert(err)
	failed := &Error{Code: given.Code(), Message: given.Message(), status: given}
	for _, detail := range given.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			failed.Reason, failed.Metadata = Reason(info.GetReason()), info.GetMetadata()
		}
	}
	for _, detail := range given.Details() {
		failed.add(detail)
	}
	return failed
}

func (e *Error) add(detail any) {
	switch detail := detail.(type) {
	case *errdetails.BadRequest:
		for _, violation := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{violation.GetField(), violation.GetDescription()})
		}
	case *errdetails.RetryInfo:
		e.RetryDelay = detail.GetRetryDelay().AsDuration()
	}
}

// --- jobs that did not succeed ---

// What an [*EndedError] matches.
var (
	ErrJobFailed      = errors.New("the job failed")
	ErrJobCancelled   = errors.New("the job was cancelled")
	ErrJobInterrupted = errors.New("the job waits for answers")
)

// EndedError is what [Client.Run] returns of a job that did not succeed. It
// matches [ErrJobFailed], [ErrJobCancelled] or [ErrJobInterrupted]: of the last,
// Job.Interrupts has the questions.
type EndedError struct {
	Job *Job
}

// Error says which job, and why.
func (e *EndedError) Error() string {
	text := fmt.Sprintf("autopilot: job %s is %s", e.Job.JobID, e.Job.State)
	if e.Job.Error != nil {
		text += ": " + e.Job.Error.Message
	}
	return text
}

// Unwrap gives how the job ended.
func (e *EndedError) Unwrap() error {
	switch e.Job.State {
	case StateFailed:
		return ErrJobFailed
	case StateCancelled:
		return ErrJobCancelled
	case StateInterrupted:
		return ErrJobInterrupted
	}
	return nil
}
