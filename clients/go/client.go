package autopilot

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/grpc"
)

// DefaultTimeout is how long a call may take whose context has no deadline.
const DefaultTimeout = 30 * time.Second

// ErrClosed is what calls of a closed client return.
var ErrClosed = errors.New("autopilot: this client is closed")

// Client submits, watches and controls jobs. It is safe for use by several
// goroutines; one for a program is enough.
type Client struct {
	stub       autopilotv1.JobServiceClient
	connection *grpc.ClientConn
	timeout    time.Duration
	closed     atomic.Bool
	// Is closed by Close.
	closing chan struct{}
}

// New makes a client of the server at an address, "host:port". It does not wait
// for the server: the first call finds it.
func New(address string, options ...Option) (*Client, error) {
	settings := settings{timeout: DefaultTimeout}
	for _, option := range options {
		option(&settings)
	}
	dialOptions, err := settings.dialOptions(address)
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(address, dialOptions...)
	if err != nil {
		return nil, err
	}
	stub := autopilotv1.NewJobServiceClient(connection)
	return &Client{stub: stub, connection: connection, timeout: settings.timeout, closing: make(chan struct{})}, nil
}

// Close ends what is open. The client cannot be used any more.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	close(c.closing)
	return c.connection.Close()
}

// Submit submits a job, and returns it once it is durable. `input` is whatever
// encoding/json takes; nil is no input, json.RawMessage("null") is JSON's null.
func (c *Client) Submit(ctx context.Context, workflow string, input any, options *SubmitOptions) (*Job, error) {
	request, err := submitRequest(workflow, input, options)
	if err != nil {
		return nil, err
	}
	response, err := call(ctx, c, 0, c.stub.SubmitJob, request)
	if err != nil {
		return nil, err
	}
	return answeredJob(response.GetJob(), response.GetDeduplicated()), nil
}

// Get reads a job.
func (c *Client) Get(ctx context.Context, jobID string, options *GetOptions) (*Job, error) {
	options = orDefault(options)
	request := &autopilotv1.GetStatusRequest{
		JobId:         jobID,
		View:          view(!options.WithoutPayloads),
		PayloadFormat: textFormat,
		WaitTimeout:   spanOrNone(options.Wait),
	}
	response, err := call(ctx, c, options.Wait, c.stub.GetStatus, request)
	if err != nil {
		return nil, err
	}
	return jobOf(response.GetJob()), nil
}

// Cancel asks a job to stop.
func (c *Client) Cancel(ctx context.Context, jobID string, options *CancelOptions) (*Job, error) {
	options = orDefault(options)
	request := &autopilotv1.CancelRequest{
		JobId:       jobID,
		Reason:      options.Reason,
		Etag:        options.Etag,
		GracePeriod: spanOrNone(options.GracePeriod),
	}
	response, err := call(ctx, c, 0, c.stub.Cancel, request)
	if err != nil {
		return nil, err
	}
	return jobOf(response.GetJob()), nil
}

// Resume continues a job that is INTERRUPTED, FAILED or CANCELLED: with answers to
// its questions, or from an earlier or edited state.
func (c *Client) Resume(ctx context.Context, jobID string, options *ResumeOptions) (*Job, error) {
	request, err := resumeRequest(jobID, orDefault(options))
	if err != nil {
		return nil, err
	}
	response, err := call(ctx, c, 0, c.stub.Resume, request)
	if err != nil {
		return nil, err
	}
	return answeredJob(response.GetJob(), response.GetDeduplicated()), nil
}

// Delete deletes a finished job, its events and its checkpoints.
func (c *Client) Delete(ctx context.Context, jobID string, options *DeleteOptions) error {
	options = orDefault(options)
	request := &autopilotv1.DeleteJobRequest{JobId: jobID, Etag: options.Etag, AllowMissing: options.AllowMissing}
	_, err := call(ctx, c, 0, c.stub.DeleteJob, request)
	return err
}

// Prune deletes what jobs left behind that were finished at least `finishedFor` ago.
func (c *Client) Prune(ctx context.Context, finishedFor time.Duration, options *PruneOptions) (*Pruned, error) {
	options = orDefault(options)
	request := &autopilotv1.PruneJobsRequest{
		FinishedFor:     span(finishedFor),
		Filter:          options.Filter.message(),
		CheckpointsOnly: options.CheckpointsOnly,
		DryRun:          options.DryRun,
	}
	response, err := call(ctx, c, 0, c.stub.PruneJobs, request)
	if err != nil {
		return nil, err
	}
	return &Pruned{Jobs: response.GetDeletedJobs(), Checkpoints: response.GetDeletedCheckpoints()}, nil
}

// --- lists ---

const defaultPageSize = 100

// List lists all jobs that match, newest first. It reads page by page as the loop
// goes on, and ends with an error when one cannot be read.
func (c *Client) List(ctx context.Context, filter Filter, options *ListOptions) iter.Seq2[*Job, error] {
	options = orDefault(options)
	request := &autopilotv1.ListJobsRequest{
		PageSize:      pageSize(options.PageSize),
		Filter:        filter.message(),
		View:          view(options.Payloads),
		PayloadFormat: textFormat,
	}
	return items(func(token string) ([]*autopilotv1.Job, string, error) {
		request.PageToken = token
		response, err := call(ctx, c, 0, c.stub.ListJobs, request)
		return response.GetJobs(), response.GetNextPageToken(), err
	}, jobOf)
}

// Checkpoints lists a job's checkpoints, newest first; with the state's values
// when the options say Payloads.
func (c *Client) Checkpoints(ctx context.Context, jobID string, options *ListOptions) iter.Seq2[*Checkpoint, error] {
	options = orDefault(options)
	request := &autopilotv1.ListCheckpointsRequest{
		JobId:         jobID,
		PageSize:      pageSize(options.PageSize),
		View:          view(options.Payloads),
		PayloadFormat: textFormat,
	}
	return items(func(token string) ([]*autopilotv1.Checkpoint, string, error) {
		request.PageToken = token
		response, err := call(ctx, c, 0, c.stub.ListCheckpoints, request)
		return response.GetCheckpoints(), response.GetNextPageToken(), err
	}, checkpointOf)
}

// Workflows lists the workflows that the server can run.
func (c *Client) Workflows(ctx context.Context) iter.Seq2[*Workflow, error] {
	request := &autopilotv1.ListWorkflowsRequest{PageSize: defaultPageSize}
	return items(func(token string) ([]*autopilotv1.Workflow, string, error) {
		request.PageToken = token
		response, err := call(ctx, c, 0, c.stub.ListWorkflows, request)
		return response.GetWorkflows(), response.GetNextPageToken(), err
	}, workflowOf)
}

// items are those of all pages; `read` reads the page of a token.
func items[M, T any](read func(token string) ([]M, string, error), convert func(M) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var token string
		for {
			page, next, err := read(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, message := range page {
				if !yield(convert(message), nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// --- calls ---

// call makes a unary call with a deadline: the context's, or else the client's and
// what the call may wait for on top of it.
func call[Request, Response any](
	ctx context.Context,
	c *Client,
	waiting time.Duration,
	method func(context.Context, *Request, ...grpc.CallOption) (*Response, error),
	request *Request,
) (*Response, error) {
	if c.closed.Load() {
		return nil, ErrClosed
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout+max(waiting, 0))
		defer cancel()
	}
	response, err := method(ctx, request)
	if err != nil {
		return nil, c.failure(err)
	}
	return response, nil
}

func (c *Client) failure(err error) error {
	if c.closed.Load() {
		return ErrClosed
	}
	return errorOf(err)
}

func orDefault[T any](options *T) *T {
	if options == nil {
		return new(T)
	}
	return options
}
