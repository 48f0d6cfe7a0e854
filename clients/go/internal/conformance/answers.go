package main

import (
	"context"
	"errors"
	"time"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

func answered(job *autopilot.Job, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return jobJSON(job, job.Deduplicated), nil
}

func read(job *autopilot.Job, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return readJob(job), nil
}

func readJob(job *autopilot.Job) object { return jobJSON(job, nil) }

func jobJSON(job *autopilot.Job, deduplicated any) object {
	answer := object{
		"job_id":          job.JobID,
		"workflow":        job.Workflow,
		"thread_id":       job.ThreadID,
		"state":           job.State.String(),
		"labels":          job.Labels,
		"priority":        job.Priority,
		"error":           jobErrorJSON(job.Error),
		"interrupts":      each(job.Interrupts, interruptJSON),
		"attempt":         job.Attempt,
		"max_attempts":    job.MaxAttempts,
		"failed_attempts": job.FailedAttempts,
		"checkpoint_id":   job.CheckpointID,
		"latest_sequence": job.LatestSequence,
		"next_steps":      job.NextSteps,
		"etag":            job.Etag,
		"concurrency_key": job.ConcurrencyKey,
		"deduplicated":    deduplicated,
		"create_time":     seconds(job.CreateTime),
		"end_time":        seconds(job.EndTime),
	}
	putValue(answer, "input", job.Input)
	putValue(answer, "output", job.Output)
	return answer
}

func putValue(answer object, name string, value autopilot.Value) {
	if size, omitted := value.Omitted(); omitted {
		answer[name] = object{"$omitted": size}
	} else if !value.IsMissing() {
		var decoded any
		if err := value.Decode(&decoded); err != nil {
			panic(err)
		}
		answer[name] = decoded
	}
}

func seconds(moment time.Time) any {
	if moment.IsZero() {
		return nil
	}
	return float64(moment.UnixMicro()) / 1e6
}

func jobErrorJSON(given *autopilot.JobError) any {
	if given == nil {
		return nil
	}
	return object{
		"reason":         given.Reason,
		"message":        given.Message,
		"step":           given.Step,
		"exception_type": given.ExceptionType,
	}
}

func interruptJSON(question autopilot.Interrupt) object {
	answer := object{"interrupt_id": question.InterruptID, "step": question.Step, "response_schema": nil}
	putValue(answer, "value", question.Value)
	putValue(answer, "response_schema", question.ResponseSchema)
	return answer
}

func checkpointJSON(checkpoint *autopilot.Checkpoint) object {
	answer := object{
		"checkpoint_id":        checkpoint.CheckpointID,
		"parent_checkpoint_id": checkpoint.ParentCheckpointID,
		"superstep":            checkpoint.Superstep,
		"source":               checkpoint.Source,
		"next_steps":           checkpoint.NextSteps,
	}
	putValue(answer, "values", checkpoint.Values)
	return answer
}

func workflowJSON(workflow *autopilot.Workflow) object {
	answer := object{"name": workflow.Name, "description": workflow.Description, "steps": workflow.Steps}
	answer["max_running_jobs"] = workflow.MaxRunningJobs
	answer["max_running_jobs_per_key"] = workflow.MaxRunningJobsPerKey
	putValue(answer, "input_schema", workflow.InputSchema)
	return answer
}

func each[T any](items []T, convert func(T) object) []object {
	converted := []object{}
	for _, item := range items {
		converted = append(converted, convert(item))
	}
	return converted
}

// --- events ---

func eventJSON(event autopilot.Event) object {
	answer := kindJSON(event.Kind)
	answer["sequence"] = event.Sequence
	answer["attempt"] = event.Attempt
	answer["fraction"] = event.Progress.Fraction
	return answer
}

func kindJSON(kind autopilot.EventKind) object {
	switch kind := kind.(type) {
	case autopilot.StateChanged:
		return object{
			"kind": "StateChanged", "from": kind.From.String(), "to": kind.To.String(), "error": jobErrorJSON(kind.Error),
		}
	case autopilot.StepStarted:
		return object{"kind": "StepStarted", "step": kind.Step, "step_run_id": kind.StepRunID}
	case autopilot.StepFinished:
		answer := object{
			"kind": "StepFinished", "step": kind.Step, "step_run_id": kind.StepRunID, "duration": kind.Duration.Seconds(),
		}
		putValue(answer, "update", kind.Update)
		return answer
	case autopilot.StepFailed:
		return object{
			"kind": "StepFailed", "step": kind.Step, "step_run_id": kind.StepRunID,
			"error": jobErrorJSON(&kind.Error), "duration": kind.Duration.Seconds(),
		}
	case autopilot.InterruptRaised:
		return object{"kind": "InterruptRaised", "interrupt": interruptJSON(kind.Interrupt)}
	case autopilot.ProgressReported:
		answer := object{
			"kind": "ProgressReported", "step": kind.Step, "message": kind.Message,
			"step_fraction": kind.Fraction, "dropped": kind.Dropped,
		}
		putValue(answer, "data", kind.Data)
		return answer
	case autopilot.CheckpointSaved:
		return object{
			"kind": "CheckpointSaved", "checkpoint_id": kind.CheckpointID, "superstep": kind.Superstep,
			"next_steps": kind.NextSteps,
		}
	case autopilot.TokenChunk:
		return object{"kind": "TokenChunk", "step": kind.Step, "message_id": kind.MessageID, "text": kind.Text}
	}
	return object{"kind": "Unknown"}
}

// --- errors ---

func failure(err error) object {
	var failed *autopilot.Error
	var ended *autopilot.EndedError
	switch {
	case errors.As(err, &ended):
		return object{"kind": endedKind(err), "message": err.Error(), "job": readJob(ended.Job)}
	case !errors.As(err, &failed):
		return object{"kind": "usage", "message": err.Error()}
	case errors.Is(err, autopilot.ErrUnreachable):
		return object{"kind": "server_unreachable", "code": codeName(failed), "message": err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return object{"kind": "deadline_exceeded", "code": codeName(failed), "message": err.Error()}
	}
	return callFailed(failed)
}

func endedKind(err error) string {
	switch {
	case errors.Is(err, autopilot.ErrJobFailed):
		return "job_failed"
	case errors.Is(err, autopilot.ErrJobCancelled):
		return "job_cancelled"
	case errors.Is(err, autopilot.ErrJobInterrupted):
		return "job_interrupted"
	}
	return "ended"
}

func callFailed(failed *autopilot.Error) object {
	violations := []object{}
	for _, violation := range failed.Violations {
		violations = append(violations, object{"field": violation.Field, "description": violation.Description})
	}
	answer := object{
		"kind": "call_failed", "type": typeName(failed), "reason": string(failed.Reason), "code": codeName(failed),
		"message": failed.Message, "metadata": failed.Metadata, "violations": violations, "retry_delay": nil,
	}
	if failed.Metadata == nil {
		answer["metadata"] = object{}
	}
	if failed.RetryDelay > 0 {
		answer["retry_delay"] = failed.RetryDelay.Seconds()
	}
	return answer
}
