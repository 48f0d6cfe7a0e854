package autopilot

import (
	"crypto/rand"
	"math"
	"time"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// AtOnce is a span of nothing, where a zero one is the server's default.
const AtOnce time.Duration = -1

// SubmitOptions is what a Submit may say besides the workflow and its input. What
// is zero is not said.
type SubmitOptions struct {
	JobID string
	// RequestID makes a repeated Submit do nothing; made when it is empty.
	RequestID        string
	ThreadID         string
	Labels           map[string]string
	ScheduledTime    time.Time
	Priority         int
	ExecutionTimeout time.Duration
	RetryPolicy      *RetryPolicy
	// Retention is how long the job is kept once it is finished; AtOnce: not at all.
	Retention       time.Duration
	InterruptBefore []string
	InterruptAfter  []string
	// Context is LangGraph's run-time context, as JSON.
	Context   any
	StepLimit int
	// ConcurrencyKey: only so many jobs with it run at once as the workflow says.
	ConcurrencyKey string
	// ForkFrom starts from a copy of another job's checkpoint: ForkCheckpoint, or its newest.
	ForkFrom       string
	ForkCheckpoint string
}

// RetryPolicy is how failed attempts are repeated. What is zero is the server's default.
type RetryPolicy struct {
	MaxAttempts       int
	InitialBackoff    time.Duration
	MaxBackoff        time.Duration
	BackoffMultiplier float64
}

// GetOptions is how to read a job.
type GetOptions struct {
	// Wait for the job to be finished or INTERRUPTED, at most this long; that it is
	// not by then is no error.
	Wait            time.Duration
	WithoutPayloads bool
}

// ListOptions is how to list.
type ListOptions struct {
	Payloads bool
	// PageSize is how many are read at once. 0: 100.
	PageSize int
}

// Filter says which jobs. All that is set must hold.
type Filter struct {
	States        []JobState
	Workflow      string
	ThreadID      string
	Labels        map[string]string
	CreatedAfter  time.Time
	CreatedBefore time.Time
}

// CancelOptions is how to cancel.
type CancelOptions struct {
	// Reason is for people.
	Reason string
	Etag   string
	// GracePeriod is how long running steps may go on. 0: the server's default. AtOnce: not at all.
	GracePeriod time.Duration
}

// ResumeOptions is how to continue. Answers, the checkpoint and the update are as
// the contract has them.
type ResumeOptions struct {
	// Answer answers the only open question; nil is no answer, json.RawMessage("null") is null.
	Answer any
	// Answers by interrupt id.
	Answers map[string]any
	// RequestID makes a repeated Resume do nothing; made when it is empty.
	RequestID       string
	Etag            string
	CheckpointID    string
	StateUpdate     any
	StateUpdateStep string
}

// DeleteOptions is how to delete.
type DeleteOptions struct {
	Etag string
	// AllowMissing: that there is no such job is no error.
	AllowMissing bool
}

// PruneOptions is what to prune.
type PruneOptions struct {
	Filter          Filter
	CheckpointsOnly bool
	DryRun          bool
}

// --- as requests ---

func submitRequest(workflow string, input any, options *SubmitOptions) (*autopilotv1.SubmitJobRequest, error) {
	options = orDefault(options)
	given, err := optionalPayload(input)
	if err != nil {
		return nil, err
	}
	context, err := optionalPayload(options.Context)
	if err != nil {
		return nil, err
	}
	return &autopilotv1.SubmitJobRequest{
		Workflow:         workflow,
		Input:            given,
		JobId:            options.JobID,
		RequestId:        orNew(options.RequestID),
		ThreadId:         options.ThreadID,
		Labels:           options.Labels,
		ScheduledTime:    timestamp(options.ScheduledTime),
		Priority:         number(options.Priority),
		ExecutionTimeout: spanOrNone(options.ExecutionTimeout),
		RetryPolicy:      options.RetryPolicy.message(),
		ForkFrom:         options.fork(),
		Retention:        spanOrNone(options.Retention),
		InterruptBefore:  options.InterruptBefore,
		InterruptAfter:   options.InterruptAfter,
		Context:          context,
		StepLimit:        number(options.StepLimit),
		ConcurrencyKey:   options.ConcurrencyKey,
	}, nil
}

func (o *SubmitOptions) fork() *autopilotv1.CheckpointRef {
	if o.ForkFrom == "" {
		return nil
	}
	return &autopilotv1.CheckpointRef{JobId: o.ForkFrom, CheckpointId: o.ForkCheckpoint}
}

func (p *RetryPolicy) message() *autopilotv1.RetryPolicy {
	if p == nil {
		return nil
	}
	return &autopilotv1.RetryPolicy{
		MaxAttempts:       number(p.MaxAttempts),
		InitialBackoff:    spanOrNone(p.InitialBackoff),
		MaxBackoff:        spanOrNone(p.MaxBackoff),
		BackoffMultiplier: p.BackoffMultiplier,
	}
}

func resumeRequest(jobID string, options *ResumeOptions) (*autopilotv1.ResumeRequest, error) {
	answer, err := optionalPayload(options.Answer)
	if err != nil {
		return nil, err
	}
	update, err := optionalPayload(options.StateUpdate)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]*autopilotv1.Payload, len(options.Answers))
	for id, given := range options.Answers {
		if answers[id], err = payload(given); err != nil {
			return nil, err
		}
	}
	return &autopilotv1.ResumeRequest{
		JobId:           jobID,
		Answer:          answer,
		Answers:         answers,
		RequestId:       orNew(options.RequestID),
		Etag:            options.Etag,
		CheckpointId:    options.CheckpointID,
		StateUpdate:     update,
		StateUpdateStep: options.StateUpdateStep,
	}, nil
}

func (f Filter) message() *autopilotv1.JobFilter {
	return &autopilotv1.JobFilter{
		States:        each(f.States, func(state JobState) autopilotv1.JobState { return autopilotv1.JobState(state) }),
		Workflow:      f.Workflow,
		ThreadId:      f.ThreadID,
		Labels:        f.Labels,
		CreatedAfter:  timestamp(f.CreatedAfter),
		CreatedBefore: timestamp(f.CreatedBefore),
	}
}

// orNew is a request id that nobody has used, when none is given.
func orNew(requestID string) string {
	if requestID == "" {
		return rand.Text()
	}
	return requestID
}

func view(payloads bool) autopilotv1.View {
	if payloads {
		return autopilotv1.View_VIEW_FULL
	}
	return autopilotv1.View_VIEW_BASIC
}

func pageSize(size int) int32 {
	if size == 0 {
		return defaultPageSize
	}
	return number(size)
}

// number leaves it to the server to refuse what is too large.
func number(value int) int32 {
	return int32(max(math.MinInt32, min(value, math.MaxInt32)))
}

func span(duration time.Duration) *durationpb.Duration {
	if duration == AtOnce {
		return durationpb.New(0)
	}
	return durationpb.New(duration)
}

func spanOrNone(duration time.Duration) *durationpb.Duration {
	if duration == 0 {
		return nil
	}
	return span(duration)
}

func timestamp(moment time.Time) *timestamppb.Timestamp {
	if moment.IsZero() {
		return nil
	}
	return timestamppb.New(moment)
}
