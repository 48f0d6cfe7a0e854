package autopilot

import "time"

// Event is something that happened to a job.
type Event struct {
	JobID string
	// Sequence is the place in the job's log: 1, 2, 3 … 0: not stored.
	Sequence int64
	Time     time.Time
	Attempt  int
	// Progress is the job's, just after the event.
	Progress Progress
	// Kind is one of the types below, as a value: use a type switch.
	Kind EventKind
}

// EventKind is [StateChanged], [StepStarted], [StepFinished], [StepFailed],
// [InterruptRaised], [ProgressReported], [CheckpointSaved], [TokenChunk] or
// [UnknownEvent].
type EventKind interface{ eventKind() }

// StateChanged: the job moved. From is StateUnknown for a job that was just submitted.
type StateChanged struct {
	From, To JobState
	Error    *JobError
}

// StepStarted: a step began.
type StepStarted struct {
	Step      string
	StepRunID string
}

// StepFinished: a step returned, and what it wrote is durable.
type StepFinished struct {
	Step      string
	StepRunID string
	Update    Value
	Duration  time.Duration
}

// StepFailed: a step raised.
type StepFailed struct {
	Step      string
	StepRunID string
	Error     JobError
	Duration  time.Duration
}

// InterruptRaised: a step asked a question.
type InterruptRaised struct {
	Interrupt Interrupt
}

// ProgressReported: the workflow reported.
type ProgressReported struct {
	Step    string
	Message string
	// Fraction is of the step; nil when it did not say.
	Fraction *float64
	Data     Value
	// Dropped are the reports just before this one that came too fast.
	Dropped int
}

// CheckpointSaved: the state after a superstep is durable.
type CheckpointSaved struct {
	CheckpointID string
	Superstep    int
	NextSteps    []string
}

// TokenChunk is a piece of a language model's answer. It is not stored, and may be lost.
type TokenChunk struct {
	Step      string
	MessageID string
	Text      string
}

// UnknownEvent is an event of a newer server.
type UnknownEvent struct{}

func (StateChanged) eventKind()     {}
func (StepStarted) eventKind()      {}
func (StepFinished) eventKind()     {}
func (StepFailed) eventKind()       {}
func (InterruptRaised) eventKind()  {}
func (ProgressReported) eventKind() {}
func (CheckpointSaved) eventKind()  {}
func (TokenChunk) eventKind()       {}
func (UnknownEvent) eventKind()     {}
