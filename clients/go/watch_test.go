package autopilot

import (
	"context"
	"errors"
	"testing"
	"time"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

type stream = grpc.ServerStreamingServer[autopilotv1.WatchProgressResponse]

func started(sequence int64) *autopilotv1.ProgressEvent {
	return &autopilotv1.ProgressEvent{
		Sequence: sequence,
		Kind:     &autopilotv1.ProgressEvent_StepStarted{StepStarted: &autopilotv1.StepStarted{Step: "s"}},
	}
}

func moved(sequence int64, to autopilotv1.JobState) *autopilotv1.ProgressEvent {
	return &autopilotv1.ProgressEvent{
		Sequence: sequence,
		Kind:     &autopilotv1.ProgressEvent_StateChanged{StateChanged: &autopilotv1.StateChanged{To: to}},
	}
}

func batch(events ...*autopilotv1.ProgressEvent) *autopilotv1.WatchProgressResponse {
	return &autopilotv1.WatchProgressResponse{Events: events, ThroughSequence: events[len(events)-1].GetSequence()}
}

func sequences(t *testing.T, events func(func(Event, error) bool)) []int64 {
	t.Helper()
	var seen []int64
	for event, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, event.Sequence)
	}
	return seen
}

func equal(t *testing.T, found []int64, expected ...int64) {
	t.Helper()
	if len(found) != len(expected) {
		t.Fatalf("expected %v, found %v", expected, found)
	}
	for index := range found {
		if found[index] != expected[index] {
			t.Fatalf("expected %v, found %v", expected, found)
		}
	}
}

func TestAWatchGoesOnFromItsPlace(t *testing.T) {
	var asked []int64
	client := serve(t, &fake{watch: func(r *autopilotv1.WatchProgressRequest, s stream) error {
		asked = append(asked, r.GetAfterSequence())
		switch len(asked) {
		case 1:
			s.Send(batch(started(5), started(0), started(6)))
			return status.Error(codes.Unavailable, "broken")
		case 2:
			s.Send(batch(started(6), started(7)))
			s.Send(&autopilotv1.WatchProgressResponse{ThroughSequence: 9})
			return status.Error(codes.Internal, "broken")
		}
		return s.Send(batch(started(10)))
	}})
	equal(t, sequences(t, client.Watch(t.Context(), "j", &WatchOptions{AfterSequence: 4})), 5, 0, 6, 7, 10)
	equal(t, asked, 4, 6, 9)
}

func TestAWatchThatIsLeftEnds(t *testing.T) {
	ended := make(chan struct{})
	client := serve(t, &fake{watch: func(_ *autopilotv1.WatchProgressRequest, s stream) error {
		s.Send(batch(started(1), started(2)))
		<-s.Context().Done()
		close(ended)
		return s.Context().Err()
	}})
	for range client.Watch(t.Context(), "j", nil) {
		break
	}
	<-ended
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	client := serve(t, &fake{watch: func(_ *autopilotv1.WatchProgressRequest, s stream) error {
		s.Send(batch(started(1)))
		<-s.Context().Done()
		return s.Context().Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range client.Watch(ctx, "j", nil) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(last)
	}
}

func TestAContextThatEndsInAPauseEndsTheWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := serve(t, &fake{watch: func(*autopilotv1.WatchProgressRequest, stream) error {
		defer cancel()
		return status.Error(codes.Unavailable, "broken")
	}})
	var last error
	for _, err := range client.Watch(ctx, "j", nil) {
		last = err
	}
	if last == nil {
		t.Error("the watch ended without an error")
	}
}

func TestPatience(t *testing.T) {
	broken, final := &Error{Code: codes.Unavailable}, &Error{Code: codes.NotFound}
	patient := new(Client).patience(0)
	if patient.longest != defaultReconnectFor {
		t.Error(patient.longest)
	}
	if err := patient.bear(t.Context(), final); err == nil {
		t.Error("what is final is borne")
	}
	if err := patient.bear(t.Context(), errors.New("other")); err == nil {
		t.Error("what is no error of a call is borne")
	}
	if err := patient.bear(t.Context(), broken); err != nil {
		t.Error(err)
	}
	impatient := new(Client).patience(AtOnce)
	if err := impatient.bear(t.Context(), broken); err == nil {
		t.Error("a break is borne")
	}
}

func TestPausesGrowToFiveSeconds(t *testing.T) {
	patience := new(Client).patience(0)
	for expected := firstBackoff; expected < longestBackoff; expected *= 2 {
		if pause := patience.pause(0); pause < expected/2 || pause > expected {
			t.Errorf("expected up to %v, found %v", expected, pause)
		}
	}
	for range 100 {
		if pause := patience.pause(0); pause < longestBackoff/2 || pause > longestBackoff {
			t.Error(pause)
		}
	}
	for asked, least := range map[time.Duration]time.Duration{-time.Hour: 0, 5 * time.Second: 5 * time.Second, time.Hour: longestRetryDelay} {
		patience.restore()
		if pause := patience.pause(asked); pause < least+firstBackoff/2 || pause > least+firstBackoff {
			t.Errorf("asked to wait %v: %v", asked, pause)
		}
	}
}

func TestAClosedClientEndsAPause(t *testing.T) {
	client, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	patience := client.patience(0)
	client.Close()
	full := refused(t, codes.ResourceExhausted, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
	if err := patience.bear(t.Context(), full); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestFollowPassesAnInterruptedOfThePast(t *testing.T) {
	reads := 0
	client := serve(t, &fake{
		get: func(context.Context, *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error) {
			reads++
			job := &autopilotv1.Job{JobId: "j", State: autopilotv1.JobState_JOB_STATE_RUNNING, LatestSequence: 3}
			if reads > 1 {
				job.State, job.LatestSequence = autopilotv1.JobState_JOB_STATE_SUCCEEDED, 4
			}
			return &autopilotv1.GetStatusResponse{Job: job}, nil
		},
		watch: func(r *autopilotv1.WatchProgressRequest, s stream) error {
			s.Send(batch(started(1), moved(2, autopilotv1.JobState_JOB_STATE_INTERRUPTED), started(3)))
			return s.Send(batch(moved(4, autopilotv1.JobState_JOB_STATE_SUCCEEDED)))
		},
	})
	var seen []int64
	job, err := client.Follow(t.Context(), "j", &FollowOptions{OnEvent: func(event Event) { seen = append(seen, event.Sequence) }})
	if err != nil || job.State != StateSucceeded {
		t.Fatal(job, err)
	}
	equal(t, seen, 1, 2, 3, 4)
}

func TestFollowEndsAtAQuestion(t *testing.T) {
	reads := 0
	client := serve(t, &fake{
		get: func(context.Context, *autopilotv1.GetStatusRequest) (*autopilotv1.GetStatusResponse, error) {
			reads++
			job := &autopilotv1.Job{JobId: "j", State: autopilotv1.JobState_JOB_STATE_RUNNING, LatestSequence: 1}
			if reads > 1 {
				job.State, job.LatestSequence = autopilotv1.JobState_JOB_STATE_INTERRUPTED, 2
			}
			return &autopilotv1.GetStatusResponse{Job: job}, nil
		},
		watch: func(_ *autopilotv1.WatchProgressRequest, s stream) error {
			s.Send(batch(started(1), moved(2, autopilotv1.JobState_JOB_STATE_INTERRUPTED)))
			<-s.Context().Done()
			return s.Context().Err()
		},
	})
	job, err := client.Follow(t.Context(), "j", nil)
	if err != nil || job.State != StateInterrupted {
		t.Fatal(job, err)
	}
}
