package autopilot

import (
	"context"
	"time"
)

// FollowOptions is how to follow.
type FollowOptions struct {
	AfterSequence int64
	Tokens        bool
	// OnEvent is called with each event. It may resume the job.
	OnEvent func(Event)
	// ReconnectFor is as in WatchOptions.
	ReconnectFor time.Duration
}

// RunOptions is what a Run may say besides the workflow and its input.
type RunOptions struct {
	SubmitOptions
	// OnEvent is called with each event of the job.
	OnEvent func(Event)
}

// Run submits a job, watches it, and returns its output. Of a job that does not
// succeed it returns an [*EndedError]. When the context ends, the job goes on: the
// caller who wants it to end cancels it.
func (c *Client) Run(ctx context.Context, workflow string, input any, options *RunOptions) (Value, error) {
	options = orDefault(options)
	submitted, err := c.Submit(ctx, workflow, input, &options.SubmitOptions)
	if err != nil {
		return Value{}, err
	}
	job, err := c.Follow(ctx, submitted.JobID, &FollowOptions{OnEvent: options.OnEvent})
	if err != nil {
		return Value{}, err
	}
	if job.State != StateSucceeded {
		return Value{}, &EndedError{Job: job}
	}
	return job.Output, nil
}

// Follow watches a job until it is finished or INTERRUPTED, and returns it as it
// then is. An INTERRUPTED of its past, which was resumed since, is an event like
// the others.
func (c *Client) Follow(ctx context.Context, jobID string, options *FollowOptions) (*Job, error) {
	options = orDefault(options)
	following := following{sequence: options.AfterSequence}
	for {
		job, err := c.reread(ctx, jobID, options.ReconnectFor)
		if err != nil {
			return nil, err
		}
		following.job = job
		if following.isOver() {
			return job, nil
		}
		if err := c.watchOn(ctx, &following, options); err != nil {
			return nil, err
		}
	}
}

// watchOn watches from where it was until the job has to be read again.
func (c *Client) watchOn(ctx context.Context, following *following, options *FollowOptions) error {
	watching := &WatchOptions{
		AfterSequence: following.sequence,
		Tokens:        options.Tokens,
		ReconnectFor:  options.ReconnectFor,
	}
	for event, err := range c.Watch(ctx, following.job.JobID, watching) {
		if err != nil {
			return err
		}
		if options.OnEvent != nil {
			options.OnEvent(event)
		}
		if following.take(event) {
			return nil
		}
	}
	return nil
}

// reread reads a job, as patiently as a watch.
func (c *Client) reread(ctx context.Context, jobID string, reconnectFor time.Duration) (*Job, error) {
	patience := c.patience(reconnectFor)
	for {
		job, err := c.Get(ctx, jobID, nil)
		if err == nil {
			return job, nil
		}
		if err := patience.bear(ctx, err); err != nil {
			return nil, err
		}
	}
}

// following is a job that is watched until it rests: is finished, or INTERRUPTED
// now and not only at some time in its past.
type following struct {
	job      *Job
	sequence int64
}

// isOver says that the job rests, and that everything that led there was seen.
func (f *following) isOver() bool {
	return f.job.State.Resting() && f.sequence == f.job.LatestSequence
}

// take says whether the job may be INTERRUPTED after this event, and has to be read
// to know. The end of a finished job needs no care: its watch ends by itself.
func (f *following) take(event Event) bool {
	if event.Sequence != 0 {
		f.sequence = event.Sequence
	}
	changed, _ := event.Kind.(StateChanged)
	maybe := f.job.State == StateInterrupted || changed.To == StateInterrupted
	return maybe && f.sequence >= f.job.LatestSequence
}
