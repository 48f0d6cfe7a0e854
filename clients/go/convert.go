package autopilot

import (
	"time"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func jobOf(message *autopilotv1.Job) *Job {
	return &Job{
		JobID:            message.GetJobId(),
		Workflow:         message.GetWorkflow(),
		ThreadID:         message.GetThreadId(),
		State:            stateOf(message.GetState()),
		Labels:           message.GetLabels(),
		Priority:         int(message.GetPriority()),
		Input:            valueOf(message.GetInput()),
		Output:           valueOf(message.GetOutput()),
		Error:            jobErrorOf(message.GetError()),
		Interrupts:       each(message.GetInterrupts(), interruptOf),
		Progress:         progressOf(message.GetProgress()),
		Attempt:          int(message.GetAttempt()),
		MaxAttempts:      int(message.GetMaxAttempts()),
		FailedAttempts:   int(message.GetFailedAttempts()),
		CheckpointID:     message.GetCheckpointId(),
		LatestSequence:   message.GetLatestSequence(),
		NextSteps:        message.GetNextSteps(),
		CreateTime:       timeOf(message.GetCreateTime()),
		ScheduledTime:    timeOf(message.GetScheduledTime()),
		StartTime:        timeOf(message.GetStartTime()),
		UpdateTime:       timeOf(message.GetUpdateTime()),
		EndTime:          timeOf(message.GetEndTime()),
		ExpireTime:       timeOf(message.GetExpireTime()),
		NextAttemptTime:  timeOf(message.GetNextAttemptTime()),
		Etag:             message.GetEtag(),
		WorkflowRevision: message.GetWorkflowRevision(),
		ConcurrencyKey:   message.GetConcurrencyKey(),
	}
}

func answeredJob(message *autopilotv1.Job, deduplicated bool) *Job {
	job := jobOf(message)
	job.Deduplicated = deduplicated
	return job
}

func stateOf(state autopilotv1.JobState) JobState {
	if state < 0 || int(state) >= len(stateNames) {
		return StateUnknown
	}
	return JobState(state)
}

func timeOf(message *timestamppb.Timestamp) time.Time {
	if message == nil {
		return time.Time{}
	}
	return message.AsTime()
}

func jobErrorOf(message *autopilotv1.JobError) *JobError {
	if message == nil {
		return nil
	}
	return &JobError{
		Reason:        message.GetReason(),
		Message:       message.GetMessage(),
		Step:          message.GetStep(),
		ExceptionType: message.GetExceptionType(),
		Traceback:     message.GetTraceback(),
	}
}

func interruptOf(message *autopilotv1.Interrupt) Interrupt {
	return Interrupt{
		InterruptID:    message.GetInterruptId(),
		Step:           message.GetStep(),
		Value:          valueOf(message.GetValue()),
		CreateTime:     timeOf(message.GetCreateTime()),
		ResponseSchema: structValue(message.GetResponseSchema()),
		StepRunID:      message.GetStepRunId(),
	}
}

func progressOf(message *autopilotv1.Progress) Progress {
	return Progress{
		Fraction:            message.GetFraction(),
		ActiveSteps:         message.GetActiveSteps(),
		CompletedSteps:      int(message.GetCompletedSteps()),
		EstimatedTotalSteps: int(message.GetEstimatedTotalSteps()),
		Elapsed:             message.GetElapsed().AsDuration(),
		EstimatedRemaining:  message.GetEstimatedRemaining().AsDuration(),
		Message:             message.GetMessage(),
	}
}

func checkpointOf(message *autopilotv1.Checkpoint) *Checkpoint {
	return &Checkpoint{
		CheckpointID:       message.GetCheckpointId(),
		ParentCheckpointID: message.GetParentCheckpointId(),
		Superstep:          int(message.GetSuperstep()),
		Source:             message.GetSource(),
		NextSteps:          message.GetNextSteps(),
		CreateTime:         timeOf(message.GetCreateTime()),
		Values:             valueOf(message.GetValues()),
	}
}

func workflowOf(message *autopilotv1.Workflow) *Workflow {
	return &Workflow{
		Name:         message.GetName(),
		Description:  message.GetDescription(),
		Revision:     message.GetRevision(),
		InputSchema:  structValue(message.GetInputSchema()),
		OutputSchema: structValue(message.GetOutputSchema()),
		Steps:        message.GetSteps(),
		Mermaid:      message.GetMermaid(),

		MaxRunningJobs:       int(message.GetMaxRunningJobs()),
		MaxRunningJobsPerKey: int(message.GetMaxRunningJobsPerKey()),
	}
}

func eventOf(message *autopilotv1.ProgressEvent) Event {
	return Event{
		JobID:    message.GetJobId(),
		Sequence: message.GetSequence(),
		Time:     timeOf(message.GetEventTime()),
		Attempt:  int(message.GetAttempt()),
		Progress: progressOf(message.GetProgress()),
		Kind:     kindOf(message),
	}
}

func kindOf(message *autopilotv1.ProgressEvent) EventKind {
	switch kind := message.GetKind().(type) {
	case *autopilotv1.ProgressEvent_StateChanged:
		changed := kind.StateChanged
		return StateChanged{stateOf(changed.GetFrom()), stateOf(changed.GetTo()), jobErrorOf(changed.GetError())}
	case *autopilotv1.ProgressEvent_StepStarted:
		return StepStarted{kind.StepStarted.GetStep(), kind.StepStarted.GetStepRunId()}
	case *autopilotv1.ProgressEvent_StepFinished:
		return stepFinishedOf(kind.StepFinished)
	case *autopilotv1.ProgressEvent_StepFailed:
		return stepFailedOf(kind.StepFailed)
	case *autopilotv1.ProgressEvent_InterruptRaised:
		return InterruptRaised{interruptOf(kind.InterruptRaised.GetInterrupt())}
	case *autopilotv1.ProgressEvent_ProgressReported:
		return progressReportedOf(kind.ProgressReported)
	case *autopilotv1.ProgressEvent_CheckpointSaved:
		saved := kind.CheckpointSaved
		return CheckpointSaved{saved.GetCheckpointId(), int(saved.GetSuperstep()), saved.GetNextSteps()}
	case *autopilotv1.ProgressEvent_TokenChunk:
		token := kind.TokenChunk
		return TokenChunk{token.GetStep(), token.GetMessageId(), token.GetText()}
	}
	return UnknownEvent{}
}

func stepFinishedOf(message *autopilotv1.StepFinished) StepFinished {
	return StepFinished{
		Step:      message.GetStep(),
		StepRunID: message.GetStepRunId(),
		Update:    valueOf(message.GetUpdate()),
		Duration:  message.GetDuration().AsDuration(),
	}
}

func stepFailedOf(message *autopilotv1.StepFailed) StepFailed {
	failed := StepFailed{
		Step:      message.GetStep(),
		StepRunID: message.GetStepRunId(),
		Duration:  message.GetDuration().AsDuration(),
	}
	if given := jobErrorOf(message.GetError()); given != nil {
		failed.Error = *given
	}
	return failed
}

func progressReportedOf(message *autopilotv1.ProgressReported) ProgressReported {
	return ProgressReported{
		Step:     message.GetStep(),
		Message:  message.GetMessage(),
		Fraction: message.Fraction,
		Data:     valueOf(message.GetData()),
		Dropped:  int(message.GetDropped()),
	}
}

func each[M, T any](messages []M, convert func(M) T) []T {
	converted := make([]T, len(messages))
	for index, message := range messages {
		converted[index] = convert(message)
	}
	return converted
}
