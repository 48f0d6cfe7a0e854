package autopilot

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/grpc/codes"
)

// WatchOptions is how to watch.
type WatchOptions struct {
	// AfterSequence: only stored events after this one.
	AfterSequence int64
	// StopWhenCaughtUp ends the watch once all stored events were seen.
	StopWhenCaughtUp bool
	// Tokens: also TokenChunk events, which are not stored.
	Tokens bool
	// ReconnectFor is how long a break may last before its error ends the watch.
	// 0: five minutes. AtOnce: every break does.
	ReconnectFor time.Duration
}

const (
	defaultReconnectFor = 5 * time.Minute
	firstBackoff        = 100 * time.Millisecond
	longestBackoff      = 5 * time.Second
	longestRetryDelay   = 30 * time.Second
)

// Watch is a job's events: the stored ones, then new ones as they happen, until the
// job is finished, the context ends or the loop is left.
//
//	for event, err := range client.Watch(ctx, jobID, nil) {
//		if err != nil {
//			return err
//		}
//		switch kind := event.Kind.(type) {
//		case autopilot.StepFinished:
//			…
//		}
//	}
//
// It goes on by itself when the connection or the server breaks: each stored event
// exactly once, in order. An error is the last thing that it yields.
func (c *Client) Watch(ctx context.Context, jobID string, options *WatchOptions) iter.Seq2[Event, error] {
	options = orDefault(options)
	return func(yield func(Event, error) bool) {
		place := &place{jobID: jobID, options: *options, patience: c.patience(options.ReconnectFor)}
		place.sequence = options.AfterSequence
		for {
			err := c.watchOnce(ctx, place, func(event Event) bool { return yield(event, nil) })
			if err == nil || errors.Is(err, errLeft) {
				return
			}
			if err = place.patience.bear(ctx, err); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// errLeft: the user left the loop.
var errLeft = errors.New("left")

// watchOnce is one call of a watch. nil: the watch is over.
func (c *Client) watchOnce(ctx context.Context, place *place, yield func(Event) bool) error {
	if c.closed.Load() {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.stub.WatchProgress(ctx, place.request())
	if err != nil {
		return c.failure(err)
	}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.failure(err)
		}
		if !place.take(response, yield) {
			return errLeft
		}
	}
}

// place is a reader's place in a job's log.
type place struct {
	jobID    string
	sequence int64
	options  WatchOptions
	patience patience
}

func (p *place) request() *autopilotv1.WatchProgressRequest {
	return &autopilotv1.WatchProgressRequest{
		JobId:            p.jobID,
		AfterSequence:    p.sequence,
		StopWhenCaughtUp: p.options.StopWhenCaughtUp,
		IncludeTokens:    p.options.Tokens,
		PayloadFormat:    textFormat,
	}
}

// take hands over a response's events, each stored one once; false when the user left.
func (p *place) take(response *autopilotv1.WatchProgressResponse, yield func(Event) bool) bool {
	p.patience.restore()
	for _, message := range response.GetEvents() {
		if p.isNew(message.GetSequence()) && !yield(eventOf(message)) {
			return false
		}
	}
	p.sequence = max(p.sequence, response.GetThroughSequence())
	return true
}

func (p *place) isNew(sequence int64) bool {
	if sequence == 0 {
		return true
	}
	if sequence <= p.sequence {
		return false
	}
	p.sequence = sequence
	return true
}

// patience is how long, and how often, to try again while a server is away.
type patience struct {
	longest time.Duration
	// Ends a pause as well.
	closing     <-chan struct{}
	breaks      int
	brokenSince time.Time
}

func (c *Client) patience(reconnectFor time.Duration) patience {
	if reconnectFor == 0 {
		reconnectFor = defaultReconnectFor
	}
	return patience{longest: max(reconnectFor, 0), closing: c.closing}
}

func (p *patience) restore() {
	p.breaks, p.brokenSince = 0, time.Time{}
}

// bear waits before another try; or returns the error, when it is final, or when
// the break has lasted for too long.
func (p *patience) bear(ctx context.Context, err error) error {
	var failed *Error
	if !errors.As(err, &failed) || !isBreak(failed.Code) || ctx.Err() != nil {
		return err
	}
	if p.brokenSince.IsZero() {
		p.brokenSince = time.Now()
	}
	if time.Since(p.brokenSince) >= p.longest {
		return err
	}
	return p.sleep(ctx, p.pause(failed.RetryDelay), err)
}

// isBreak says that the log is there all the same.
func isBreak(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.Unknown, codes.DeadlineExceeded, codes.Aborted:
		return true
	}
	return false
}

func (p *patience) pause(retryDelay time.Duration) time.Duration {
	longest := min(longestBackoff, firstBackoff<<p.breaks)
	p.breaks = min(p.breaks+1, 16)
	// Jitter, so that the watchers of a server that comes back do not come all at once; on top
	// of what it asks for, for the same reason.
	jittered := longest/2 + rand.N(longest/2)
	return max(0, min(retryDelay, longestRetryDelay)) + jittered
}

// sleep returns the error when the context ends meanwhile, and another when the
// client is closed.
func (p *patience) sleep(ctx context.Context, duration time.Duration, err error) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return err
	case <-p.closing:
		return ErrClosed
	}
}
