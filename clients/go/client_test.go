package autopilot

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// fake is a server of the test's own; a test sets what it needs.
type fake struct {
	autopilotv1.UnimplementedJobServiceServer
	submit func(context.Context, *autopilotv1.SubmitJobRequest) (*autopilotv1.SubmitJobResponse, error)
	get    func(context.Context, *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error)
	list   func(*autopilotv1.ListJobsRequest) *autopilotv1.ListJobsResponse
	watch  func(*autopilotv1.WatchProgressRequest, grpc.ServerStreamingServer[autopilotv1.WatchProgressResponse]) error
}

func (f *fake) SubmitJob(ctx context.Context, r *autopilotv1.SubmitJobRequest) (*autopilotv1.SubmitJobResponse, error) {
	return f.submit(ctx, r)
}

func (f *fake) GetStatus(ctx context.Context, r *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error) {
	return f.get(ctx, r)
}

func (f *fake) ListJobs(_ context.Context, r *autopilotv1.ListJobsRequest) (*autopilotv1.ListJobsResponse, error) {
	return f.list(r), nil
}

func (f *fake) WatchProgress(
	r *autopilotv1.WatchProgressRequest, s grpc.ServerStreamingServer[autopilotv1.WatchProgressResponse],
) error {
	return f.watch(r, s)
}

func serve(t *testing.T, server *fake, options ...Option) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving := grpc.NewServer()
	autopilotv1.RegisterJobServiceServer(serving, server)
	go serving.Serve(listener)
	client, err := New(listener.Addr().String(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		serving.Stop()
	})
	return client
}

func TestARetriedSubmitHasOneRequestID(t *testing.T) {
	var ids []string
	client := serve(t, &fake{submit: func(_ context.Context, r *autopilotv1.SubmitJobRequest) (*autopilotv1.SubmitJobResponse, error) {
		ids = append(ids, r.GetRequestId())
		if len(ids) < 3 {
			return nil, status.Error(codes.Unavailable, "not now")
		}
		return &autopilotv1.SubmitJobResponse{Job: &autopilotv1.Job{JobId: "j"}, Deduplicated: true}, nil
	}})
	job, err := client.Submit(t.Context(), "w", nil, nil)
	if err != nil || job.JobID != "j" || !job.Deduplicated {
		t.Fatal(job, err)
	}
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[1] != ids[2] {
		t.Error(ids)
	}
}

func TestDeadlines(t *testing.T) {
	var left time.Duration
	client := serve(t, &fake{get: func(ctx context.Context, _ *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return &autopilotv1.GetStatusResponse{}, nil
	}}, WithTimeout(40*time.Second))
	within := func(expected time.Duration) {
		t.Helper()
		if left > expected+time.Second || left < expected-20*time.Second {
			t.Errorf("expected about %v, found %v", expected, left)
		}
	}
	client.Get(t.Context(), "j", nil)
	within(40 * time.Second)
	client.Get(t.Context(), "j", &GetOptions{Wait: time.Minute})
	within(100 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
	defer cancel()
	client.Get(ctx, "j", nil)
	within(200 * time.Second)
}

func TestACallEndsWithItsContext(t *testing.T) {
	reached, ended := make(chan struct{}), make(chan struct{})
	client := serve(t, &fake{get: func(ctx context.Context, _ *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error) {
		close(reached)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := client.Get(ctx, "j", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-ended
}

func TestATokenSourceIsAskedForEachCall(t *testing.T) {
	var seen []string
	asked := 0
	source := func(context.Context) (string, error) {
		asked++
		return "t" + string(rune('0'+asked)), nil
	}
	client := serve(t, &fake{get: func(ctx context.Context, _ *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error) {
		given, _ := metadata.FromIncomingContext(ctx)
		seen = append(seen, given.Get("authorization")...)
		return &autopilotv1.GetStatusResponse{}, nil
	}}, WithTokenSource(source))
	client.Get(t.Context(), "j", nil)
	client.Get(t.Context(), "j", nil)
	if len(seen) != 2 || seen[0] != "Bearer t1" || seen[1] != "Bearer t2" {
		t.Error(seen)
	}
}

func TestListsGoOnFromPageToPage(t *testing.T) {
	asked := 0
	client := serve(t, &fake{list: func(r *autopilotv1.ListJobsRequest) *autopilotv1.ListJobsResponse {
		asked++
		if r.GetPageToken() == "" {
			return &autopilotv1.ListJobsResponse{Jobs: []*autopilotv1.Job{{JobId: "1"}, {JobId: "2"}}, NextPageToken: "next"}
		}
		return &autopilotv1.ListJobsResponse{Jobs: []*autopilotv1.Job{{JobId: "3"}}}
	}})
	jobs := client.List(t.Context(), Filter{}, nil)
	// Twice: a sequence begins anew with each loop.
	for range 2 {
		var ids string
		for job, err := range jobs {
			if err != nil {
				t.Fatal(err)
			}
			ids += job.JobID
		}
		if ids != "123" {
			t.Error(ids)
		}
	}
	for range jobs {
		break
	}
	if asked != 5 {
		t.Errorf("a loop that is left asks for no more pages: %d", asked)
	}
}

func TestAClosedClientSaysSo(t *testing.T) {
	client := serve(t, &fake{})
	client.Close()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Get(t.Context(), "j", nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	for _, err := range client.Watch(t.Context(), "j", nil) {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestClosingEndsWhatIsOpen(t *testing.T) {
	reached := make(chan struct{})
	var once sync.Once
	client := serve(t, &fake{watch: func(_ *autopilotv1.WatchProgressRequest, s grpc.ServerStreamingServer[autopilotv1.WatchProgressResponse]) error {
		once.Do(func() { close(reached) })
		<-s.Context().Done()
		return s.Context().Err()
	}})
	go func() { <-reached; client.Close() }()
	for _, err := range client.Watch(t.Context(), "j", nil) {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}
