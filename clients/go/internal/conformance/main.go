// The driver of the Go client: see clients/conformance/README.md.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"time"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

// driver carries out commands.
type driver struct {
	client *autopilot.Client
	next   func() (autopilot.Event, error, bool)
	stop   func()
}

type object = map[string]any

func main() {
	driver := &driver{stop: func() {}}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		answer(driver.carryOut(line))
	}
}

func answer(ok any, err error) {
	said := object{"ok": ok}
	if err != nil {
		said = object{"error": failure(err)}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(said); err != nil {
		panic(err)
	}
}

func (d *driver) carryOut(line []byte) (any, error) {
	var given arguments
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		panic(err)
	}
	ctx := context.Background()
	if given.Timeout > 0 && given.Call != "connect" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, span(given.Timeout))
		defer cancel()
	}
	return d.call(ctx, &given)
}

func (d *driver) call(ctx context.Context, given *arguments) (any, error) {
	switch given.Call {
	case "connect":
		return nil, d.connect(given)
	case "close":
		return nil, d.client.Close()
	case "submit":
		return answered(d.client.Submit(ctx, given.Workflow, given.input(), given.submitOptions()))
	case "run":
		return d.run(ctx, given)
	case "get":
		options := &autopilot.GetOptions{Wait: span(given.Wait), WithoutPayloads: given.Payloads != nil && !*given.Payloads}
		return read(d.client.Get(ctx, given.JobID, options))
	case "follow":
		return read(d.client.Follow(ctx, given.JobID, nil))
	case "watch":
		d.watch(given)
		return nil, nil
	case "next":
		return d.events(given.Count)
	case "unwatch":
		d.stop()
		return nil, nil
	case "cancel":
		return read(d.client.Cancel(ctx, given.JobID, given.cancelOptions()))
	case "resume":
		return answered(d.client.Resume(ctx, given.JobID, given.resumeOptions()))
	case "delete":
		options := &autopilot.DeleteOptions{Etag: given.Etag, AllowMissing: given.AllowMissing}
		return nil, d.client.Delete(ctx, given.JobID, options)
	case "prune":
		return d.prune(ctx, given)
	case "list":
		return all(d.client.List(ctx, given.filter(), given.listOptions()), readJob)
	case "checkpoints":
		return all(d.client.Checkpoints(ctx, given.JobID, given.listOptions()), checkpointJSON)
	case "workflows":
		return all(d.client.Workflows(ctx), workflowJSON)
	}
	return nil, fmt.Errorf("there is no call %q", given.Call)
}

func (d *driver) connect(given *arguments) error {
	options, err := given.connectOptions()
	if err != nil {
		return err
	}
	client, err := autopilot.New(given.Address, options...)
	if err != nil {
		return err
	}
	if d.client != nil {
		d.client.Close()
	}
	d.client = client
	return nil
}

func (d *driver) run(ctx context.Context, given *arguments) (any, error) {
	seen := 0
	options := &autopilot.RunOptions{
		SubmitOptions: *given.submitOptions(),
		OnEvent:       func(autopilot.Event) { seen++ },
	}
	output, err := d.client.Run(ctx, given.Workflow, given.input(), options)
	if err != nil {
		return nil, err
	}
	answer := object{"events": seen}
	putValue(answer, "output", output)
	return answer, nil
}

func (d *driver) watch(given *arguments) {
	d.stop()
	options := &autopilot.WatchOptions{
		AfterSequence:    given.AfterSequence,
		StopWhenCaughtUp: given.StopWhenCaughtUp,
		Tokens:           given.Tokens,
	}
	if given.ReconnectFor != nil {
		options.ReconnectFor = spanOrAtOnce(*given.ReconnectFor)
	}
	d.next, d.stop = iter.Pull2(d.client.Watch(context.Background(), given.JobID, options))
}

func (d *driver) events(count int) (any, error) {
	events := []any{}
	for len(events) < count {
		event, err, more := d.next()
		if err != nil {
			return nil, err
		}
		if !more {
			return object{"events": events, "ended": true}, nil
		}
		events = append(events, eventJSON(event))
	}
	return object{"events": events, "ended": false}, nil
}

func (d *driver) prune(ctx context.Context, given *arguments) (any, error) {
	options := &autopilot.PruneOptions{
		Filter:          given.filter(),
		CheckpointsOnly: given.CheckpointsOnly,
		DryRun:          given.DryRun,
	}
	pruned, err := d.client.Prune(ctx, span(given.FinishedFor), options)
	if err != nil {
		return nil, err
	}
	return object{"deleted_jobs": pruned.Jobs, "deleted_checkpoints": pruned.Checkpoints}, nil
}

func all[T any](items iter.Seq2[T, error], convert func(T) object) (any, error) {
	found := []object{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		found = append(found, convert(item))
	}
	return found, nil
}

func span(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

func spanOrAtOnce(seconds float64) time.Duration {
	if seconds == 0 {
		return autopilot.AtOnce
	}
	return span(seconds)
}
