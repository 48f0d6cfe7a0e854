package autopilot_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

func ExampleClient_Run() {
	client, err := autopilot.New("127.0.0.1:50051")
	if err != nil {
		panic(err)
	}
	defer client.Close()
	output, err := client.Run(context.Background(), "hello", map[string]any{"name": "Ada"}, &autopilot.RunOptions{
		SubmitOptions: autopilot.SubmitOptions{Labels: map[string]string{"team": "blue"}},
		OnEvent:       func(event autopilot.Event) { fmt.Println(event.Progress.Fraction) },
	})
	var ended *autopilot.EndedError
	switch {
	case errors.Is(err, autopilot.ErrJobInterrupted) && errors.As(err, &ended):
		fmt.Println("asks", ended.Job.Interrupts[0].Value)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(output)
	}
}

func ExampleClient_Watch() {
	client, err := autopilot.New("127.0.0.1:50051")
	if err != nil {
		panic(err)
	}
	defer client.Close()
	for event, err := range client.Watch(context.Background(), "hello-1", nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if finished, ok := event.Kind.(autopilot.StepFinished); ok {
			fmt.Println(finished.Step, "took", finished.Duration)
		}
	}
}

func ExampleClient_Resume() {
	client, err := autopilot.New("127.0.0.1:50051")
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = client.Resume(ctx, "order-17", &autopilot.ResumeOptions{Answer: map[string]any{"approved": true}})
	if errors.Is(err, autopilot.ReasonInterruptNotPending) {
		fmt.Println("somebody has answered before")
	}
}
