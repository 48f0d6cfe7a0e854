package autopilot

import (
	"time"
)

// JobState is the state of a job. One that this client does not know is [StateUnknown].
type JobState int

// The states of the contract.
const (
	StateUnknown JobState = iota
	StatePending
	StateRunning
	StateInterrupted
	StateCancelling
	StateSucceeded
	StateFailed
	StateCancelled
)

var stateNames = [...]string{
	"UNKNOWN", "PENDING", "RUNNING", "INTERRUPTED", "CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED",
}

// String is the contract's name without its prefix.
func (s JobState) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return stateNames[StateUnknown]
	}
	return stateNames[s]
}

// Finished says that nothing more happens unless somebody resumes the job.
func (s JobState) Finished() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCancelled
}

// Resting says that the job is finished, or waits for answers.
func (s JobState) Resting() bool { return s.Finished() || s == StateInterrupted }

// Job is a run of a workflow. Times that are not set are zero.
type Job struct {
	JobID    string
	Workflow string
	ThreadID string
	State    JobState
	Labels   map[string]string
	Priority int
	// Input and Output are missing when the response has not got them.
	Input  Value
	Output Value
	// Error is why the job FAILED or was CANCELLED, or why its last attempt failed.
	Error *JobError
	// Interrupts are the questions that are not answered yet.
	Interrupts       []Interrupt
	Progress         Progress
	Attempt          int
	MaxAttempts      int
	FailedAttempts   int
	CheckpointID     string
	LatestSequence   int64
	NextSteps        []string
	CreateTime       time.Time
	ScheduledTime    time.Time
	StartTime        time.Time
	UpdateTime       time.Time
	EndTime          time.Time
	ExpireTime       time.Time
	NextAttemptTime  time.Time
	Etag             string
	WorkflowRevision string
	ConcurrencyKey   string
	// Deduplicated is of the call that returned the job, a Submit or a Resume: its
	// request id had been used before, so that it did nothing.
	Deduplicated bool
}

// JobError is why a job failed or was cancelled. Reasons are in docs/errors.md.
type JobError struct {
	Reason        string
	Message       string
	Step          string
	ExceptionType string
	Traceback     string
}

// Interrupt is a question that waits for an answer.
type Interrupt struct {
	InterruptID string
	Step        string
	Value       Value
	CreateTime  time.Time
	// ResponseSchema is the JSON Schema of an answer; missing when the workflow gave none.
	ResponseSchema Value
	StepRunID      string
}

// Progress is how far a job is.
type Progress struct {
	// Fraction is from 0 to 1. It is 1 only when the job SUCCEEDED.
	Fraction            float64
	ActiveSteps         []string
	CompletedSteps      int
	EstimatedTotalSteps int
	Elapsed             time.Duration
	// EstimatedRemaining is 0 when it cannot be estimated.
	EstimatedRemaining time.Duration
	Message            string
}

// Checkpoint is the state of a job's thread after a superstep.
type Checkpoint struct {
	CheckpointID       string
	ParentCheckpointID string
	Superstep          int
	Source             string
	NextSteps          []string
	CreateTime         time.Time
	Values             Value
}

// Workflow is a workflow that the server can run.
type Workflow struct {
	Name        string
	Description string
	Revision    string
	// InputSchema and OutputSchema are JSON Schemas.
	InputSchema  Value
	OutputSchema Value
	Steps        []string
	Mermaid      string
	// MaxRunningJobs is how many of its jobs run at once, and MaxRunningJobsPerKey
	// how many with the same concurrency key. 0: any number, and no keys.
	MaxRunningJobs       int
	MaxRunningJobsPerKey int
}

// Pruned is what Prune deleted, or would delete.
type Pruned struct {
	Jobs        int64
	Checkpoints int64
}
