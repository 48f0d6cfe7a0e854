package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"time"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

// arguments are those of all commands; payloads stay text, and exact.
type arguments struct {
	Call string `json:"call"`

	Address  string  `json:"address"`
	Token    *string `json:"token"`
	CA       string  `json:"ca"`
	Cert     string  `json:"cert"`
	Key      string  `json:"key"`
	Insecure bool    `json:"insecure"`
	Timeout  float64 `json:"timeout"`

	Workflow         string            `json:"workflow"`
	Input            json.RawMessage   `json:"input"`
	JobID            string            `json:"job_id"`
	RequestID        string            `json:"request_id"`
	ThreadID         string            `json:"thread_id"`
	Labels           map[string]string `json:"labels"`
	Priority         int               `json:"priority"`
	ScheduledIn      float64           `json:"scheduled_in"`
	ExecutionTimeout float64           `json:"execution_timeout"`
	RetryPolicy      *retryPolicy      `json:"retry_policy"`
	Retention        *float64          `json:"retention"`
	InterruptBefore  []string          `json:"interrupt_before"`
	InterruptAfter   []string          `json:"interrupt_after"`
	Context          json.RawMessage   `json:"context"`
	StepLimit        int               `json:"step_limit"`
	ConcurrencyKey   string            `json:"concurrency_key"`
	ForkFrom         string            `json:"fork_from"`
	ForkCheckpoint   string            `json:"fork_checkpoint"`

	Wait     float64  `json:"wait"`
	Payloads *bool    `json:"payloads"`
	Values   bool     `json:"values"`
	PageSize int      `json:"page_size"`
	States   []string `json:"states"`

	AfterSequence    int64    `json:"after_sequence"`
	StopWhenCaughtUp bool     `json:"stop_when_caught_up"`
	Tokens           bool     `json:"tokens"`
	ReconnectFor     *float64 `json:"reconnect_for"`
	Count            int      `json:"count"`

	Reason      string   `json:"reason"`
	GracePeriod *float64 `json:"grace_period"`
	Etag        string   `json:"etag"`

	Answer          json.RawMessage            `json:"answer"`
	Answers         map[string]json.RawMessage `json:"answers"`
	CheckpointID    string                     `json:"checkpoint_id"`
	StateUpdate     json.RawMessage            `json:"state_update"`
	StateUpdateStep string                     `json:"state_update_step"`

	AllowMissing    bool    `json:"allow_missing"`
	FinishedFor     float64 `json:"finished_for"`
	CheckpointsOnly bool    `json:"checkpoints_only"`
	DryRun          bool    `json:"dry_run"`
}

type retryPolicy struct {
	MaxAttempts       int     `json:"max_attempts"`
	InitialBackoff    float64 `json:"initial_backoff"`
	MaxBackoff        float64 `json:"max_backoff"`
	BackoffMultiplier float64 `json:"backoff_multiplier"`
}

// value is what was given, or nil.
func value(text json.RawMessage) any {
	if text == nil {
		return nil
	}
	return text
}

func (a *arguments) input() any { return value(a.Input) }

func (a *arguments) connectOptions() ([]autopilot.Option, error) {
	var options []autopilot.Option
	if a.CA != "" {
		config, err := a.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, autopilot.WithTLS(config))
	}
	if a.Token != nil {
		options = append(options, autopilot.WithToken(*a.Token))
	}
	if a.Insecure {
		options = append(options, autopilot.WithInsecure())
	}
	if a.Timeout > 0 {
		options = append(options, autopilot.WithTimeout(span(a.Timeout)))
	}
	return options, nil
}

func (a *arguments) tlsConfig() (*tls.Config, error) {
	authorities, err := os.ReadFile(a.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authorities)
	if a.Cert != "" {
		own, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

func (a *arguments) submitOptions() *autopilot.SubmitOptions {
	options := &autopilot.SubmitOptions{
		JobID:            a.JobID,
		RequestID:        a.RequestID,
		ThreadID:         a.ThreadID,
		Labels:           a.Labels,
		Priority:         a.Priority,
		ExecutionTimeout: span(a.ExecutionTimeout),
		InterruptBefore:  a.InterruptBefore,
		InterruptAfter:   a.InterruptAfter,
		Context:          value(a.Context),
		StepLimit:        a.StepLimit,
		ConcurrencyKey:   a.ConcurrencyKey,
		ForkFrom:         a.ForkFrom,
		ForkCheckpoint:   a.ForkCheckpoint,
	}
	if a.ScheduledIn != 0 {
		options.ScheduledTime = time.Now().Add(span(a.ScheduledIn))
	}
	if a.Retention != nil {
		options.Retention = spanOrAtOnce(*a.Retention)
	}
	if policy := a.RetryPolicy; policy != nil {
		options.RetryPolicy = &autopilot.RetryPolicy{
			MaxAttempts:       policy.MaxAttempts,
			InitialBackoff:    span(policy.InitialBackoff),
			MaxBackoff:        span(policy.MaxBackoff),
			BackoffMultiplier: policy.BackoffMultiplier,
		}
	}
	return options
}

func (a *arguments) cancelOptions() *autopilot.CancelOptions {
	options := &autopilot.CancelOptions{Reason: a.Reason, Etag: a.Etag}
	if a.GracePeriod != nil {
		options.GracePeriod = spanOrAtOnce(*a.GracePeriod)
	}
	return options
}

func (a *arguments) resumeOptions() *autopilot.ResumeOptions {
	answers := map[string]any{}
	for id, answer := range a.Answers {
		answers[id] = answer
	}
	return &autopilot.ResumeOptions{
		Answer:          value(a.Answer),
		Answers:         answers,
		RequestID:       a.RequestID,
		Etag:            a.Etag,
		CheckpointID:    a.CheckpointID,
		StateUpdate:     value(a.StateUpdate),
		StateUpdateStep: a.StateUpdateStep,
	}
}

func (a *arguments) filter() autopilot.Filter {
	filter := autopilot.Filter{Workflow: a.Workflow, ThreadID: a.ThreadID, Labels: a.Labels}
	for _, name := range a.States {
		for state := autopilot.StatePending; state <= autopilot.StateCancelled; state++ {
			if state.String() == name {
				filter.States = append(filter.States, state)
			}
		}
	}
	return filter
}

func (a *arguments) listOptions() *autopilot.ListOptions {
	return &autopilot.ListOptions{Payloads: a.Values || a.Payloads != nil && *a.Payloads, PageSize: a.PageSize}
}
