package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"regexp"
	"time"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

const (
	defaultTimeout = time.Minute
	maxInputBytes  = 1 << 20
	// What may be done for a caller that is gone.
	farewell = 10 * time.Second
)

var errStopping = errors.New("the service is stopping")

// As Autopilot's job ids.
var keyForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`)

// Service runs workflows for its callers.
type Service struct {
	Jobs *autopilot.Client
}

// Handler serves POST /run/{workflow}: the body is the input, the answer a JSON
// object a line: the job, its progress, and its output or error.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /run/{workflow}", s.run)
	return mux
}

// run takes a caller through a job: it lives as long as the caller waits.
func (s *Service) run(w http.ResponseWriter, r *http.Request) {
	connection := http.NewResponseController(w)
	// Nobody holds this service up by sending slowly …
	_ = connection.SetReadDeadline(time.Now().Add(farewell))
	order, err := readOrder(w, r)
	if err != nil {
		refuse(w, statusOfOrder(err), object{"message": err.Error()})
		return
	}
	// … or by not reading. A read deadline that passes would look like a caller that left.
	_ = connection.SetReadDeadline(time.Time{})
	_ = connection.SetWriteDeadline(time.Now().Add(order.timeout + farewell))
	ctx, cancel := context.WithTimeout(r.Context(), order.timeout)
	defer cancel()
	job, err := s.submit(ctx, order)
	if err != nil {
		s.letGo(ctx, order.key)
		refuse(w, statusOf(err), describe(err))
		return
	}
	lines := newLines(w)
	lines.write(object{"job_id": job.JobID, "state": job.State.String()})
	lines.write(s.follow(ctx, order.key, lines))
}

// submit can be repeated, by the client and by the caller, also after a crash of
// either: the key is the job's id and its request's.
func (s *Service) submit(ctx context.Context, order *order) (*autopilot.Job, error) {
	return s.Jobs.Submit(ctx, order.workflow, order.input, &autopilot.SubmitOptions{
		JobID:     order.key,
		RequestID: order.key,
		// The job ends by itself, should this service not be there to cancel it. It is the
		// caller's timeout as given, not what is left of it: a repeated request must be the same.
		ExecutionTimeout: order.timeout,
	})
}

// follow passes the progress on, and returns the last line. A job that was let go
// for another request with this key goes on while this one waits: a caller that
// lost its connection may be here again before the loss of it was noticed.
func (s *Service) follow(ctx context.Context, key string, lines *lines) object {
	reader := &autopilot.FollowOptions{}
	reader.OnEvent = func(event autopilot.Event) {
		reader.AfterSequence = max(reader.AfterSequence, event.Sequence)
		if line := progressOf(event); line != nil {
			lines.write(line)
		}
	}
	for {
		job, err := s.Jobs.Follow(ctx, key, reader)
		if err == nil && wasLetGo(job) {
			if err = s.goOn(ctx, job); err == nil {
				continue
			}
		}
		if err != nil {
			s.letGo(ctx, key)
			return object{"error": describe(err)}
		}
		return endOf(job)
	}
}

// goOn continues a job from its last checkpoint: steps that are finished do not run
// again.
func (s *Service) goOn(ctx context.Context, job *autopilot.Job) error {
	_, err := s.Jobs.Resume(ctx, job.JobID, &autopilot.ResumeOptions{Etag: job.Etag})
	if errors.Is(err, autopilot.ReasonEtagMismatch) || errors.Is(err, autopilot.ReasonJobStateConflict) {
		// Another request with the same key was faster.
		return nil
	}
	return err
}

// Why this service cancels jobs.
const (
	callerLeft = "its caller left"
	timeIsOver = "its caller's time is over"
)

// wasLetGo says that the job ended for a caller's sake. One that somebody else
// cancelled stays so.
func wasLetGo(job *autopilot.Job) bool {
	switch {
	case job.Error == nil:
		return false
	case job.State == autopilot.StateCancelled:
		return job.Error.Message == callerLeft || job.Error.Message == timeIsOver
	}
	return job.Error.Reason == "EXECUTION_TIMED_OUT"
}

// letGo ends the job of a caller that left, or whose time is over. It has a context
// of its own, since the caller's has ended. A job whose Submit was not answered may
// be there or not: its id is known, so it can be cancelled all the same. When the
// service stops, the job goes on: the caller will come back to another instance.
func (s *Service) letGo(ctx context.Context, key string) {
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), errStopping) {
		return
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	reason := callerLeft
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = timeIsOver
	}
	_, err := s.Jobs.Cancel(own, key, &autopilot.CancelOptions{Reason: reason})
	switch {
	case err == nil, errors.Is(err, autopilot.ReasonJobNotFound), errors.Is(err, autopilot.ReasonJobStateConflict):
	default:
		log.Printf("job %s is left to its execution_timeout: %v", key, err)
	}
}

// --- what comes in ---

// order is what a caller wants.
type order struct {
	workflow string
	input    json.RawMessage
	key      string
	timeout  time.Duration
}

func readOrder(w http.ResponseWriter, r *http.Request) (*order, error) {
	input, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInputBytes))
	if err != nil {
		return nil, err
	}
	if !json.Valid(input) {
		return nil, errors.New("the body is no JSON")
	}
	order := &order{workflow: r.PathValue("workflow"), input: input, key: r.Header.Get("Idempotency-Key"), timeout: defaultTimeout}
	if order.key == "" {
		order.key = rand.Text()
	}
	if !keyForm.MatchString(order.key) {
		return nil, errors.New("Idempotency-Key: 1 to 64 of a-z A-Z 0-9 . _ -")
	}
	if given := r.URL.Query().Get("timeout"); given != "" {
		order.timeout, err = time.ParseDuration(given)
	}
	if err != nil || order.timeout <= 0 {
		return nil, errors.New("timeout: a duration, such as 30s")
	}
	return order, nil
}
