package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxEvent is the size in bytes of one line of a stream.
	maxEvent = 1 << 20
	// silence is how long a stream may say nothing before it counts as lost. The
	// server sends a comment every 15 s.
	silence = time.Minute
	// settled is how long a connection must have stood for its loss to count as
	// the first one.
	settled = time.Second
)

// errSilent is the cause when a stream said nothing for too long.
var errSilent = errors.New("the server fell silent")

// WatchMCIS calls f for every event of a run, in order and each once, until the
// run or a later one is done or the MCIS is gone, f returns an error, ctx ends
// or the server cannot be reached for the client's retry time. A lost connection
// is resumed where it broke. When the MCIS is gone for so long that the server
// has forgotten it the error is a *Problem of status 404.
func (c *Client) WatchMCIS(ctx context.Context, run Run, f func(Event) error) error {
	w := watch{client: c, run: run, after: run.After, f: f}
	var lost time.Time // when the connection was lost; zero while it stands
	for {
		before, start := w.after, time.Now()
		over, err := w.once(ctx)
		if over {
			return err
		}
		if p, ok := errors.AsType[*Problem](err); ctx.Err() != nil || ok && p.Status < 500 {
			return err
		}
		if w.after != before || w.opened && time.Since(start) > settled || lost.IsZero() {
			lost = time.Now()
		}
		if time.Since(lost) >= c.retry {
			return fmt.Errorf("watch %s: %w", run.Name, err)
		}
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// watch is what a watch carries from one connection to the next.
type watch struct {
	client *Client
	run    Run
	after  uint64 // number of the last event that f has seen
	f      func(Event) error
	opened bool // the latest connection stood
}

// once follows one connection. It reports whether the watch is over; else the
// error says how the connection was lost.
func (w *watch) once(ctx context.Context) (over bool, err error) {
	r := request{
		method: http.MethodGet, path: []string{"mcis", w.run.Name, "events"}, accept: "text/event-stream",
		header: http.Header{"Last-Event-Id": {strconv.FormatUint(w.after, 10)}},
	}
	w.opened = false
	err = w.client.stream(ctx, r, func() { w.opened = true }, func(data []byte) error {
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		if e.Number <= w.after {
			return nil
		}
		w.after = e.Number
		err := w.f(e)
		over = err != nil || e.Done && (e.Gone || e.Run >= w.run.Run)
		if over && err == nil {
			return io.EOF
		}
		return err
	})
	if over && errors.Is(err, io.EOF) {
		return true, nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return over, err
}

// Exec runs a command on nodes of an MCIS and calls f for every piece of output.
// It returns when every node is done. It is never repeated by itself.
func (c *Client) Exec(ctx context.Context, name string, req ExecRequest, f func(ExecOutput) error) error {
	r := request{method: http.MethodPost, path: []string{"mcis", name, "exec"}, body: req, accept: "text/event-stream", once: true}
	done := false
	err := c.stream(ctx, r, func() {}, func(data []byte) error {
		var o ExecOutput
		if err := json.Unmarshal(data, &o); err != nil {
			return fmt.Errorf("output: %w", err)
		}
		if o.Node == "" {
			done = true
			return io.EOF
		}
		return f(o)
	})
	if done && errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// stream makes the call, calls opened when it was answered, and hands the data of
// every server-sent event to f until f returns an error or the stream ends.
func (c *Client) stream(ctx context.Context, r request, opened func(), f func(data []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	opened()
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		watchdog.Reset(silence)
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue // id, event, comment or the blank line between events
		}
		if err := f(bytes.TrimSpace(data)); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return lines.Err()
}
